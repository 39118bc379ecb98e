import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import type { SandboxManager } from "../../../src/sandbox/sandbox-manager.js";
import type { SandboxSpecOpts, StartOpts } from "../../../src/sandbox/service.js";
import type { Progress } from "../../../src/util/progress.js";
import { SandboxBench, SPEC } from "../../helpers/sandbox-bench.js";

const GIB = 2 ** 30;

let bench: SandboxBench;
let manager: SandboxManager;
beforeEach(async () => {
  bench = await SandboxBench.make();
  manager = await bench.open({ warmGuests: 1 });
  // Before the guests end: the pool would boot others.
  onTestFinished(() => manager.close({ sandboxes: "detach" }));
});

const key = (name: string) => ({ namespace: "default", name });
const start = (name: string, spec: SandboxSpecOpts = SPEC) => manager.start(key(name), spec);
const upperDisk = (name: string): string => bench.paths.sandbox("default", name).upperDisk;
const running = (): string[] => [...bench.guests.machines.keys()];
/** VMs that no sandbox has. */
function ahead(): string[] {
  const owned = manager.list().map(({ vm }) => vm?.id);
  return running().filter((id) => !owned.includes(id));
}
/** Guests are made with a pause before each. */
async function readyAhead(count: number): Promise<void> {
  await expect.poll(() => afterPause(readyNotices)).toBe(count);
}
function afterPause<T>(look: () => T): T {
  bench.clock.advance(1_000);
  return look();
}
function readyNotices(): number {
  return bench.notices.filter(
    (notice) => notice.kind === "info" && notice.message === "A guest is ready ahead",
  ).length;
}

describe("a guest that runs ahead", () => {
  it("is there after the first start of its kind, and is what the next one gets", async () => {
    await start("one");
    await readyAhead(1);
    const [id] = ahead();
    const info = await start("two");
    expect(info.vm?.id).toBe(id);
    expect(existsSync(upperDisk("two"))).toBe(true);
    // It has been made anew for the third.
    await readyAhead(2);
    expect(running()).toHaveLength(3);
  });

  it("is made a while after a start, whose sandbox is wanted for something first", async () => {
    await start("one");
    bench.clock.advance(999);
    await manager.stop(key("one"));
    expect(bench.guests.configs).toHaveLength(1);
    bench.clock.advance(1);
    await expect.poll(readyNotices).toBe(1);
  });

  it("has a nonce of its own by then, and interpreters that ran no code of a user", async () => {
    await start("one");
    await readyAhead(1);
    const [id] = ahead();
    const before = bench.guests.machines.get(id!)?.nonce;
    await start("two");
    expect(bench.guests.machines.get(id!)?.nonce).not.toBe(before);
    expect(bench.kernels.at(-1)?.opts).toMatchObject({ isResumed: true, adopt: { contexts: [] } });
  });

  it("has no interpreters for a sandbox with an environment of its own", async () => {
    await start("one");
    await readyAhead(1);
    const [id] = ahead();
    const info = await start("two", { ...SPEC, env: ["A=1"] });
    expect(info.vm?.id).toBe(id);
    expect(bench.kernels.at(-1)?.opts.adopt).toBeUndefined();
  });

  it.each([
    ["memory", { memoryMiB: 1024 }],
    ["CPUs", { cpus: 2 }],
    ["a disk", { diskMiB: 8192 }],
  ])("is not for a sandbox with %s of another size", async (_what, other) => {
    await start("one");
    await readyAhead(1);
    const [id] = ahead();
    const info = await start("two", { ...SPEC, ...other });
    expect(info.vm?.id).not.toBe(id);
  });

  it("is not for a sandbox that has a disk already", async () => {
    await start("one");
    await readyAhead(1);
    const [id] = ahead();
    await manager.stop(key("one"));
    const info = await start("one");
    expect(info.vm?.id).not.toBe(id);
    expect(ahead()).toEqual([id]);
  });

  it("is handed to one of two that start at the same time", async () => {
    await start("one");
    await readyAhead(1);
    const [two, three] = await Promise.all([start("two"), start("three")]);
    expect(two.vm?.id).not.toBe(three.vm?.id);
  });

  it("is named by the record before the sandbox is ready, also when it is only then written", async () => {
    await start("one");
    await readyAhead(1);
    const [id] = ahead();
    await start("two");
    const { record } = bench.paths.sandbox("default", "two");
    expect(JSON.parse(await readFile(record, "utf8"))).toMatchObject({
      state: "running",
      vm: { id, nonce: bench.guests.machines.get(id!)?.nonce },
    });
  });

  it("that fails when it is asked for costs a cold boot, and no more", async () => {
    await start("one");
    await readyAhead(1);
    const [id] = ahead();
    const { agent, vm } = bench.guests.machines.get(id!)!;
    agent.on("core.resume", () => {
      vm.end();
      return {};
    });
    agent.on("hello", () => {
      vm.end();
      return {};
    });
    const info = await start("two");
    expect(info.state).toBe("running");
    expect(bench.events()).toContain("head-start-failed");
    expect(existsSync(upperDisk("two"))).toBe(true);
  });

  it("that ends by itself is replaced with the next start", async () => {
    await start("one");
    await readyAhead(1);
    const [id] = ahead();
    bench.guests.machines.get(id!)!.vm.end();
    await expect.poll(ahead).toEqual([]);
    await expect.poll(() => readdir(bench.paths.tempDir)).toEqual([]);
    await start("two");
    await readyAhead(2);
  });
});

describe("the pool", () => {
  it("has none of a kind that was not started among the last two", async () => {
    for (const [index, memoryMiB] of [512, 1024, 2048].entries()) {
      await start(`box${index}`, { ...SPEC, memoryMiB });
      await readyAhead(index + 1);
    }
    await expect.poll(ahead).toHaveLength(2);
    const sizes = ahead().map((id) => bench.guests.machines.get(id)?.config.memoryMiB);
    expect(sizes.toSorted()).toEqual([1024, 2048]);
  });

  it("takes nothing of the budget that sandboxes want", async () => {
    manager = await (
      await renewed()
    ).open({
      warmGuests: 1,
      budget: { sandboxes: 2, memoryMiB: 1024, vcpus: 8 },
    });
    await start("one");
    await readyAhead(1);
    // It is what makes room, or is the sandbox itself; either way nobody is refused.
    await start("two", { ...SPEC, cpus: 2 });
    await expect.poll(ahead).toEqual([]);
    expect(manager.status().used.sandboxes).toBe(2);
  });

  it("ends its guests when the host's memory runs low, and makes none", async () => {
    await start("one");
    await readyAhead(1);
    bench.freeBytes = GIB;
    await bench.clock.advance(5_000);
    await expect.poll(ahead).toEqual([]);
    await start("two", { ...SPEC, memoryMiB: 1024 });
    expect(readyNotices()).toBe(1);
  });

  it("makes none of a kind that could not be made three times, and says why", async () => {
    bench.guests.beforeBoot = async ({ upperDisk: disk }) => {
      if (disk?.includes("warm-disk")) throw new Error("no");
    };
    await start("one");
    const warning = "No guest could be made ready ahead";
    await expect
      .poll(() => afterPause(() => bench.warnings()))
      .toEqual([warning, warning, warning]);
    const tried = bench.guests.configs.length;
    await start("two");
    await manager.close({ sandboxes: "stop" });
    expect(bench.guests.configs).toHaveLength(tried + 1);
    expect(await readdir(bench.paths.tempDir)).toEqual([]);
  });

  it("is gone with the server, also where sandboxes go on", async () => {
    await start("one");
    await readyAhead(1);
    await manager.close({ sandboxes: "detach" });
    expect(running()).toHaveLength(1);
    expect(await readdir(bench.paths.tempDir)).toEqual([]);
  });

  it("of a server that was killed is ended by the next one", async () => {
    await start("one");
    await readyAhead(1);
    const [id] = ahead();
    await bench.open();
    await expect.poll(() => bench.guests.destroyed).toContain(id);
  });
});

describe("a guest that is asked for", () => {
  const warm = (opts: StartOpts = {}, memoryMiB = 512) =>
    manager.warm({ image: "python", memoryMiB }, opts);

  it("runs ahead when the call answers, and is what the next sandbox gets", async () => {
    const steps: string[] = [];
    const onProgress = ({ id, state }: Progress): void => void steps.push(`${id} ${state}`);
    expect(await warm({ onProgress })).toMatchObject({
      headStart: "guest",
      wasReady: false,
      keptBytes: null,
      diskMiB: 4096,
    });
    const [id, ...others] = ahead();
    expect(others).toEqual([]);
    expect(steps).toEqual(["boot running", "boot done", "warm-up running", "warm-up done"]);
    const info = await start("one");
    expect(info.vm?.id).toBe(id);
    // From then on as after any start of the kind.
    await readyAhead(2);
  });

  it("is the one that is there, if one is", async () => {
    await start("one");
    await readyAhead(1);
    expect(await warm()).toMatchObject({ wasReady: true });
    expect(ahead()).toHaveLength(1);
  });

  it("is followed by as many as there are to be", async () => {
    await manager.close({ sandboxes: "detach" });
    manager = await bench.open({ warmGuests: 2 });
    await warm();
    await readyAhead(2);
    expect(ahead()).toHaveLength(2);
  });

  it("is refused with the option where none run ahead", async () => {
    const without = await bench.open({ warmGuests: 0, maxTemplates: 4 });
    await expect(without.warm({ image: "python" })).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_STATE",
      message: expect.stringContaining("--warm-guests 1"),
      details: { option: "warmGuests" },
    });
    expect(bench.images.asked).toEqual([]);
  });

  it("is refused when there is no room for it", async () => {
    bench.freeBytes = GIB;
    await expect(warm()).rejects.toMatchObject({ code: "MSB_ERR_TOO_MANY_SANDBOXES" });
    expect(bench.guests.configs).toEqual([]);
  });

  it("that cannot be made is the caller's error, and told", async () => {
    bench.guests.beforeBoot = () => Promise.reject(new Error("no"));
    await expect(warm()).rejects.toThrow("no");
    expect(bench.warnings()).toEqual(["No guest could be made ready ahead"]);
    expect(await readdir(bench.paths.tempDir)).toEqual([]);
  });

  it("is called off when nobody waits any more, and not made later", async () => {
    const stop = new AbortController();
    bench.guests.beforeBoot = async () => stop.abort();
    await expect(warm({ signal: stop.signal })).rejects.toThrow("aborted");
    bench.guests.beforeBoot = async () => {};
    await warm({}, 1024);
    await manager.close({ sandboxes: "detach" });
    expect(bench.guests.configs.map(({ memoryMiB }) => memoryMiB)).toEqual([512, 1024]);
    expect(bench.warnings()).toEqual([]);
  });
});

async function renewed(): Promise<SandboxBench> {
  bench = await SandboxBench.make();
  return bench;
}
