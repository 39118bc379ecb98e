import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { MsbError } from "../../../src/errors.js";
import { deferred } from "../../../src/util/async.js";
import type { SandboxManager } from "../../../src/sandbox/sandbox-manager.js";
import { KEY, NOTHING_USED, SandboxBench, SPEC } from "../../helpers/sandbox-bench.js";

let bench: SandboxBench;
let manager: SandboxManager;
beforeEach(async () => {
  bench = await SandboxBench.make();
  manager = await bench.open();
});

async function readAll(events: AsyncIterable<unknown>): Promise<void> {
  for await (const _event of events);
}

const upperDisk = (): string => bench.paths.sandbox("default", "box").upperDisk;

describe("a start", () => {
  it("answers when the sandbox is ready, with the time of each stage", async () => {
    const info = await manager.start(KEY, SPEC);
    expect(info).toMatchObject({
      state: "running",
      spec: { image: "python", memoryMiB: 512, cpus: 1, diskMiB: 4096 },
      vm: { driver: "qemu", stopsAt: null },
      failure: null,
    });
    expect(info.stages.map(({ stage }) => stage)).toEqual([
      "admission",
      "image",
      "disk",
      "vm",
      "agent",
      "kernel",
    ]);
    expect(info.vm?.id).toMatch(/^sb-[0-9a-f]{12}$/);
    expect(bench.guests.configs).toMatchObject([
      { vcpuCount: 1, memoryMiB: 512, upperDisk: upperDisk() },
    ]);
    expect(manager.status().used).toEqual({ sandboxes: 1, memoryMiB: 512, vcpus: 1 });
  });

  it("that comes while another is under way is the same start", async () => {
    const [one, two, three] = await Promise.all([
      manager.start(KEY, SPEC),
      manager.start(KEY, { image: "node" }),
      manager.start(KEY, null),
    ]);
    expect(two).toEqual(one);
    expect(three).toEqual(one);
    expect(bench.guests.configs).toHaveLength(1);
  });

  it("of a running sandbox changes nothing, whatever it asks for", async () => {
    const first = await manager.start(KEY, SPEC);
    expect(await manager.start(KEY, { image: "node", memoryMiB: 2048 })).toEqual(first);
    expect(bench.guests.configs).toHaveLength(1);
  });

  it("without a spec takes the stored one, and says when there is none", async () => {
    await expect(manager.start(KEY, null)).rejects.toMatchObject({
      code: "MSB_ERR_SANDBOX_NOT_FOUND",
      message: "There is no sandbox default/box that could be started again. Create it first.",
    });
    await manager.start(KEY, SPEC);
    await manager.stop(KEY);
    expect(await manager.start(KEY, null)).toMatchObject({ spec: { memoryMiB: 512 } });
    expect(manager.list().map(({ name }) => name)).toEqual(["box"]);
  });

  it("gives programs the environment, folder and user of image and spec", async () => {
    bench.images.add("app", "c", { env: ["A=1", "B=2"], workingDir: "/srv", user: "app" });
    await manager.start(KEY, { image: "app", env: ["B=3"] });
    expect(bench.kernels[0]?.opts).toMatchObject({
      env: [expect.stringMatching(/^PATH=/), "HOME=/home/app", "A=1", "B=3"],
      workdir: "/srv",
      user: "app",
    });
    const made = bench.guests.only().agent.requests.filter(({ type }) => type === "file.mkdir");
    expect(made).toMatchObject([{ fields: { path: "/srv", recursive: true } }]);
  });

  it("starts the image's interpreter ahead, and a failure of that is an event", async () => {
    bench.onKernels = async (kernels) => {
      kernels.onPrewarm = async () => {
        throw new Error("no such program");
      };
    };
    await manager.start(KEY, SPEC);
    expect(bench.kernels[0]?.prewarmed).toEqual(["python"]);
    await vi.waitFor(() => expect(bench.events()).toContain("prewarm-failed"));
    expect(manager.get(KEY).state).toBe("running");
  });

  it("waits for the interpreter when it is told to", async () => {
    const waiting = await bench.open({ prewarm: "wait" });
    const warm = deferred<void>();
    bench.onKernels = async (kernels) => {
      kernels.onPrewarm = () => warm.promise;
    };
    const started = waiting.start({ ...KEY, name: "warm" }, SPEC);
    await vi.waitFor(() => expect(bench.kernels).toHaveLength(1));
    expect(waiting.get({ ...KEY, name: "warm" }).state).toBe("booting");
    warm.resolve();
    expect((await started).state).toBe("running");
  });

  it("writes the VM's id down before there is a VM", async () => {
    let record = "";
    let holds = 0;
    bench.guests.beforeBoot = async () => {
      holds = bench.images.holds;
      record = await readFile(bench.paths.sandbox("default", "box").record, "utf8");
    };
    const info = await manager.start(KEY, SPEC);
    expect(JSON.parse(record)).toMatchObject({
      state: "booting",
      vm: { id: info.vm?.id },
      disk: { digest: info.imageDigest },
    });
    // Until then the image was held by the start itself.
    expect([holds, bench.images.holds]).toEqual([1, 0]);
  });

  it("whose caller has gone before it begins leaves no sandbox", async () => {
    const signal = AbortSignal.abort();
    const aborted = { code: "MSB_ERR_ABORTED" };
    await expect(manager.start(KEY, SPEC, { signal })).rejects.toMatchObject(aborted);
    await expect(manager.create(KEY, SPEC, { signal })).rejects.toMatchObject(aborted);
    expect(manager.list()).toEqual([]);
    expect(bench.notices).toEqual([]);
  });

  it("whose caller goes away is called off, and the next one works", async () => {
    const abort = new AbortController();
    bench.guests.beforeBoot = async () => abort.abort();
    await expect(manager.start(KEY, SPEC, { signal: abort.signal })).rejects.toMatchObject({
      code: "MSB_ERR_ABORTED",
    });
    await vi.waitFor(() => expect(manager.get(KEY).state).toBe("stopped"));
    expect(bench.guests.machines.size).toBe(0);
    expect(manager.status().used).toEqual(NOTHING_USED);
    bench.guests.beforeBoot = async () => {};
    expect((await manager.start(KEY, null)).state).toBe("running");
  });
});

describe("a start that fails", () => {
  const broken = new MsbError("MSB_ERR_BOOT_FAILED", "it broke");
  const fail = async (): Promise<never> => {
    throw broken;
  };
  const places: Record<string, () => void> = {
    image: () => (bench.images.before = fail),
    disk: () => (bench.beforeDisk = fail),
    vm: () => (bench.guests.beforeBoot = fail),
    agent: () =>
      (bench.guests.onMachine = ({ agent, vm }) => {
        agent.on("file.mkdir", () => (vm.end({ consoleTail: "it broke" }), undefined));
      }),
    kernel: () => (bench.onKernels = fail),
  };

  it.each(Object.keys(places))("at the stage %s leaves nothing reserved", async (stage) => {
    places[stage]!();
    await expect(manager.start(KEY, { ...SPEC, workdir: "/w" })).rejects.toThrow("it broke");
    const info = manager.get(KEY);
    expect(info).toMatchObject({ state: "failed", vm: null });
    expect(info.failure?.message).toContain(`The start failed at the stage ${stage}: `);
    expect(info.failure?.message).toContain("it broke");
    expect(bench.guests.machines.size).toBe(0);
    expect(manager.status().used).toEqual(NOTHING_USED);

    bench.images.before = async () => {};
    bench.beforeDisk = async () => {};
    bench.guests.beforeBoot = async () => {};
    bench.guests.onMachine = () => {};
    bench.onKernels = async () => {};
    expect(await manager.start(KEY, null)).toMatchObject({ state: "running", failure: null });
    await manager.close({ sandboxes: "stop" });
    expect(manager.status().used).toEqual(NOTHING_USED);
  });

  it.each(Object.keys(places))("and was to create it leaves nothing: %s", async (stage) => {
    places[stage]!();
    const created = manager.create(KEY, { ...SPEC, workdir: "/w" });
    await expect(created).rejects.toThrow("it broke");
    expect(manager.list()).toEqual([]);
    expect(manager.status().used).toEqual(NOTHING_USED);
    expect(bench.guests.machines.size).toBe(0);
    expect(existsSync(bench.paths.sandbox("default", "box").dir)).toBe(false);
  });

  it("and was to create it leaves nothing when its caller goes away", async () => {
    const abort = new AbortController();
    bench.guests.beforeBoot = async () => abort.abort();
    await expect(manager.create(KEY, SPEC, { signal: abort.signal })).rejects.toMatchObject({
      code: "MSB_ERR_ABORTED",
    });
    await vi.waitFor(() => expect(manager.list()).toEqual([]));
    bench.guests.beforeBoot = async () => {};
    expect((await manager.create(KEY, SPEC)).state).toBe("running");
  });

  it("and was to create it is left to the stop that called it off", async () => {
    const atBoot = deferred<void>();
    bench.guests.beforeBoot = async () => atBoot.promise;
    const created = manager.create(KEY, SPEC);
    created.catch(() => {});
    await vi.waitFor(() => expect(manager.get(KEY).state).toBe("booting"));
    const stopped = manager.stop(KEY);
    atBoot.resolve();
    expect((await stopped).state).toBe("stopped");
    await expect(created).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
    expect(manager.get(KEY).state).toBe("stopped");
  });

  it("for want of room leaves no trace of a new sandbox, and an old one as it was", async () => {
    const small = await bench.open({ budget: { sandboxes: 1, memoryMiB: 600, vcpus: 1 } });
    await small.start(KEY, SPEC);
    const other = { ...KEY, name: "other" };
    await expect(small.create(other, SPEC)).rejects.toMatchObject({
      code: "MSB_ERR_TOO_MANY_SANDBOXES",
      message: expect.stringContaining("maxSandboxes"),
      details: { retryAfterSeconds: expect.any(Number) },
    });
    expect(small.list()).toHaveLength(1);
    await small.stop(KEY);
    const before = small.get(KEY);
    await expect(small.start(KEY, { image: "node", memoryMiB: 601 })).rejects.toMatchObject({
      details: { limit: "memoryMiB" },
    });
    expect(small.get(KEY)).toEqual(before);
    expect((await small.create(other, SPEC)).state).toBe("running");
  });

  it("for what was asked for names the option", async () => {
    await expect(manager.start(KEY, { ...SPEC, cpus: 0 })).rejects.toThrow(/^cpus cannot be 0/);
    await expect(manager.start({ ...KEY, name: "-x" }, SPEC)).rejects.toThrow(
      /^Sandbox name must start with an alphanumeric character$/,
    );
    expect(manager.list()).toEqual([]);
  });
});

describe("the private disk", () => {
  it("is kept over stop and start, with the image it was made for", async () => {
    await manager.start(KEY, { ...SPEC, diskMiB: 100 });
    await manager.stop(KEY);
    await writeFile(upperDisk(), "changed");
    bench.images.add("python", "f");
    await expect(manager.start(KEY, SPEC)).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_NOT_FOUND",
    });
    bench.images.add("old", "a");
    const info = await manager.start(KEY, SPEC);
    expect(info).toMatchObject({ spec: { diskMiB: 100 }, imageDigest: `sha256:${"a".repeat(64)}` });
    expect(await readFile(upperDisk(), "utf8")).toBe("changed");
    expect(bench.disks).toHaveLength(1);
  });

  it("is replaced, with an event, when another image is asked for", async () => {
    await manager.start(KEY, SPEC);
    await manager.stop(KEY);
    await manager.start(KEY, { image: "node" });
    expect(bench.disks).toHaveLength(2);
    await vi.waitFor(() => expect(bench.events()).toContain("disk-replaced"));
    expect(await manager.imagesInUse()).toEqual(new Set([`sha256:${"b".repeat(64)}`]));
  });

  it("does not change its size", async () => {
    await manager.start(KEY, { ...SPEC, diskMiB: 100 });
    await manager.stop(KEY);
    await expect(manager.start(KEY, { ...SPEC, diskMiB: 200 })).rejects.toThrow(
      /^diskMiB cannot be 200/,
    );
    expect(manager.get(KEY).state).toBe("stopped");
  });
});

describe("stop, start and remove at the same time", () => {
  it("a stop during a start ends it, and the start says so", async () => {
    const booting = deferred<void>();
    bench.guests.beforeBoot = async (_config, signal) => {
      booting.resolve();
      await new Promise((resolve) => signal?.addEventListener("abort", resolve));
    };
    const started = manager.start(KEY, SPEC);
    const outcome = started.catch((error: unknown) => error);
    await booting.promise;
    const stopped = await manager.stop(KEY);
    expect(stopped).toMatchObject({ state: "stopped", failure: null, vm: null });
    expect(await outcome).toMatchObject({ code: "MSB_ERR_ABORTED" });
    expect(manager.status().used).toEqual(NOTHING_USED);
  });

  it("a stop in the same breath as the first start ends in stopped", async () => {
    const outcome = manager.start(KEY, SPEC).catch((error: unknown) => error);
    expect((await manager.stop(KEY)).state).toBe("stopped");
    expect(await outcome).toMatchObject({ code: "MSB_ERR_ABORTED" });
    expect((await manager.start(KEY, null)).state).toBe("running");
  });

  it("a start during a stop waits for it and starts anew", async () => {
    const first = await manager.start(KEY, SPEC);
    const [stopped, started] = await Promise.all([manager.stop(KEY), manager.start(KEY, null)]);
    expect(stopped.state).toBe("stopped");
    expect(started.state).toBe("running");
    expect(started.vm?.id).not.toBe(first.vm?.id);
    expect(bench.guests.peak).toBe(1);
  });

  it("a start during a removal makes a new sandbox", async () => {
    await manager.start(KEY, SPEC);
    const removed = manager.remove(KEY, { force: true });
    const started = manager.start(KEY, { image: "node" });
    await removed;
    expect(await started).toMatchObject({ state: "running", spec: { image: "node" } });
    expect(bench.disks).toHaveLength(2);
  });

  it("a removal during a first start leaves nothing", async () => {
    const outcome = manager.start(KEY, SPEC).catch((error: unknown) => error);
    await manager.remove(KEY, { force: true });
    expect(await outcome).toMatchObject({ code: "MSB_ERR_ABORTED" });
    expect(manager.list()).toEqual([]);
    await expect(readFile(bench.paths.sandbox("default", "box").record)).rejects.toThrow("ENOENT");
  });

  it("a removal needs force for what runs", async () => {
    await manager.start(KEY, SPEC);
    await expect(manager.remove(KEY)).rejects.toMatchObject({ code: "MSB_ERR_INVALID_STATE" });
    await manager.stop(KEY);
    await manager.remove(KEY);
    expect(() => manager.get(KEY)).toThrow("There is no sandbox default/box");
  });

  it("a name is created once", async () => {
    const [one, two] = await Promise.allSettled([
      manager.create(KEY, SPEC),
      manager.create(KEY, SPEC),
    ]);
    expect(one.status).toBe("fulfilled");
    expect(two).toMatchObject({ reason: { code: "MSB_ERR_SANDBOX_EXISTS" } });
  });

  it("a stop of what does not run is no error", async () => {
    await manager.start(KEY, SPEC);
    await Promise.all([manager.stop(KEY), manager.stop(KEY)]);
    expect((await manager.stop(KEY)).state).toBe("stopped");
  });

  it("50 starts on a budget of 4 are 4, and all of it is given back", async () => {
    const small = await bench.open({ budget: { sandboxes: 4 }, concurrentBoots: 2 });
    const starts = Array.from({ length: 50 }, (_, i) =>
      small.create({ namespace: "many", name: `n${i}` }, SPEC),
    );
    const results = await Promise.allSettled(starts);
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(4);
    expect(small.list({ namespace: "many" })).toHaveLength(4);
    expect(bench.guests.peak).toBe(4);
    await small.close({ sandboxes: "stop" });
    expect(small.status().used).toEqual(NOTHING_USED);
    expect(bench.guests.machines.size).toBe(0);
  });

  it("that lets go lets nobody touch what is the next server's, also when it is told to stop then", async () => {
    await manager.start(KEY, SPEC);
    const { vm } = bench.guests.only();
    await manager.close({ sandboxes: "detach" });
    expect(vm.isReleased).toBe(true);
    await manager.close({ sandboxes: "stop" });
    const refused = { code: "MSB_ERR_SHUTTING_DOWN" };
    await expect(manager.stop(KEY)).rejects.toMatchObject(refused);
    await expect(manager.remove(KEY, { force: true })).rejects.toMatchObject(refused);
    expect(vm.stops).toBe(0);
    expect(await readFile(upperDisk(), "utf8")).toBe("disk 0");
    const next = await bench.open();
    await next.remove(KEY, { force: true });
    expect(bench.guests.machines.size).toBe(0);
  });
});

describe("the end of a VM that nobody asked for", () => {
  it("fails the sandbox with its last words, and what is under way", async () => {
    await manager.start(KEY, SPEC);
    const code = (async () => {
      for await (const event of manager.runCode(KEY, {
        language: "python",
        code: "wait",
        timeoutMs: 0,
      })) {
        if (event.type === "stdout")
          bench.guests
            .only()
            .vm.end({ reason: "killed", exitCode: null, signal: 9, consoleTail: "Oops" });
      }
    })();
    await expect(code).rejects.toMatchObject({ code: "MSB_ERR_VM_EXITED" });
    await vi.waitFor(() => expect(manager.get(KEY).state).toBe("failed"));
    expect(manager.get(KEY).failure?.message).toMatch(
      /something else killed it \(signal 9\).*Oops/s,
    );
    expect(manager.status().used).toEqual(NOTHING_USED);
    await expect(
      manager.runCommand(KEY, { command: "ls", args: [], timeoutMs: 0 }),
    ).rejects.toMatchObject({ code: "MSB_ERR_INVALID_STATE" });
    expect((await manager.start(KEY, null)).state).toBe("running");
  });

  it("by a power-off of the guest stops it; a panic does not pass for one", async () => {
    await manager.start(KEY, SPEC);
    bench.guests.only().vm.end({ reason: "guest", exitCode: 0 });
    await vi.waitFor(() => expect(manager.get(KEY).state).toBe("stopped"));
    expect(manager.get(KEY).failure?.message).toBe("The guest powered itself off.");
    await manager.start(KEY, null);
    bench.guests.only().vm.end({ consoleTail: "Kernel panic - not syncing: Fatal" });
    await vi.waitFor(() => expect(manager.get(KEY).state).toBe("failed"));
  });
});

describe("a streamed command", () => {
  const request = { command: "id", args: [], timeoutMs: 0 };
  const read = async (key = KEY): Promise<void> => {
    for await (const event of manager.streamCommand(key, { ...request, user: "app" })) {
      if (event.type === "stdout") bench.guests.only().vm.end({ reason: "killed", signal: 9 });
    }
  };

  it("finds the sandbox's variables and folder, and fails as its VM ended", async () => {
    await manager.start(KEY, { ...SPEC, env: ["A=1"], workdir: "/w" });
    const { agent } = bench.guests.only();
    agent.on("exec.start", ({ stream }) => {
      setImmediate(() => agent.output(stream, "x"));
      return { pid: 7 };
    });
    await expect(read()).rejects.toMatchObject({ code: "MSB_ERR_VM_EXITED" });
    const start = agent.requests.find(({ type }) => type === "exec.start");
    expect(start?.fields).toMatchObject({
      argv: ["id"],
      cwd: "/w",
      user: "app",
      env: expect.arrayContaining(["A=1", "HOME=/home/app"]),
    });
  });

  it("needs a sandbox that is there and runs", async () => {
    await expect(read()).rejects.toMatchObject({ code: "MSB_ERR_SANDBOX_NOT_FOUND" });
    await manager.start(KEY, SPEC);
    await manager.stop(KEY);
    await expect(read()).rejects.toMatchObject({ code: "MSB_ERR_INVALID_STATE" });
  });
});

describe("limits of idleness and of life", () => {
  const HOUR = 3_600_000;

  const sleep = { command: "sleep", args: [], timeoutMs: 0 };
  it.each([
    ["runs", async () => manager.runCommand(KEY, sleep)],
    ["is streamed", () => readAll(manager.streamCommand(KEY, sleep))],
  ])("stop a sandbox after a day without use, and not while a command %s", async (_how, run) => {
    await manager.start(KEY, { ...SPEC, idleTimeoutMs: 24 * HOUR });
    bench.guests.only().agent.on("exec.start", () => ({ pid: 7 }));
    bench.clock.advance(23 * HOUR);
    await manager.metrics(KEY);
    const running = run();
    bench.clock.advance(48 * HOUR);
    expect(manager.get(KEY)).toMatchObject({ state: "running", vm: { stopsAt: null } });
    const { agent } = bench.guests.only();
    const request = await vi.waitFor(() => {
      const found = agent.requests.find(({ type }) => type === "exec.start");
      return found ?? Promise.reject(new Error("not yet"));
    });
    agent.send(request.stream, { type: "exec.exited", exitCode: 0 });
    await running;
    bench.clock.advance(24 * HOUR - 1);
    expect(manager.get(KEY).state).toBe("running");
    bench.clock.advance(1);
    await vi.waitFor(() => expect(manager.get(KEY).state).toBe("stopped"));
    expect(bench.events()).toContain("idle-timeout");
    expect(bench.guests.machines.size).toBe(0);
  });

  it("stop a sandbox at the end of its life, used or not", async () => {
    const info = await manager.start(KEY, { ...SPEC, maxLifetimeMs: 24 * HOUR });
    expect(info.vm?.stopsAt).toBe("2026-01-02T00:00:00.000Z");
    bench.clock.advance(24 * HOUR);
    await vi.waitFor(() => expect(manager.get(KEY).state).toBe("stopped"));
    expect(bench.events()).toContain("lifetime-reached");
  });
});

describe("logs", () => {
  it("are what is kept and then what comes, each once, until the sandbox is removed", async () => {
    await manager.start(KEY, SPEC);
    const seen: string[] = [];
    const followed = (async () => {
      for await (const entry of manager.logs(KEY, { sources: ["events"], follow: true })) {
        if (entry.source === "events") seen.push(`${entry.event.seq} ${entry.event.type}`);
      }
    })();
    await vi.waitFor(() => expect(seen).toEqual(["1 created", "2 booting", "3 running"]));
    await manager.stop(KEY);
    await vi.waitFor(() => expect(seen.slice(3)).toEqual(["4 stopping", "5 stopped"]));
    await manager.remove(KEY);
    await followed;
  });

  it("of the console are safe to print", async () => {
    bench.guests.onMachine = ({ vm }) => {
      vm.consoleTail = () => "boot \u001b[31mred\n";
    };
    await manager.start(KEY, SPEC);
    const entries = [];
    for await (const entry of manager.logs(KEY, { sources: ["console"] })) entries.push(entry);
    expect(entries).toEqual([{ source: "console", text: "boot \ufffd[31mred\n" }]);
  });
});

describe("what a sandbox uses", () => {
  const looks = () =>
    bench.guests.only().agent.requests.filter(({ type }) => type === "core.metrics").length;

  it("is looked at when it was ready for a while, so as not to be in the way of its first use", async () => {
    await manager.start(KEY, SPEC);
    const { agent } = bench.guests.only();
    agent.on("exec.start", ({ id, stream }) => {
      agent.send(stream, { id, type: "error", code: "exec", message: "no", operation: "fork" });
      return undefined;
    });
    bench.clock.advance(1_999);
    const command = { command: "true", args: [], timeoutMs: 0 };
    await expect(manager.runCommand(KEY, command)).rejects.toThrow("no");
    expect(looks()).toBe(0);
    bench.clock.advance(1);
    await expect.poll(looks).toBe(1);
  });

  it("is nothing while it does not run, and the guest's word where the host has none", async () => {
    await manager.start(KEY, SPEC);
    expect(await manager.metrics(KEY)).toMatchObject({
      running: true,
      cpuPercent: 50,
      memoryMiB: 112,
      diskBytes: 12_345,
      guest: { processes: 7 },
    });
    await manager.stop(KEY);
    expect(await manager.metrics(KEY)).toEqual({
      ...KEY,
      running: false,
      cpuPercent: null,
      memoryMiB: null,
      diskBytes: null,
      guest: null,
    });
  });
});

describe("close", () => {
  it("stops all, once, and refuses what comes", async () => {
    await manager.start(KEY, SPEC);
    const booting = manager.start({ ...KEY, name: "late" }, SPEC).catch((error: unknown) => error);
    await Promise.all([manager.close({ sandboxes: "stop" }), manager.close({ sandboxes: "stop" })]);
    expect(await booting).toMatchObject({ code: "MSB_ERR_SHUTTING_DOWN" });
    await expect(manager.start(KEY, null)).rejects.toMatchObject({ code: "MSB_ERR_SHUTTING_DOWN" });
    expect(manager.list().map(({ state }) => state)).toEqual(["stopped", "stopped"]);
    expect(bench.guests.machines.size).toBe(0);
  });

  it("that lets go lets nobody touch what is the next server's, also when it is told to stop then", async () => {
    await manager.start(KEY, SPEC);
    const { vm } = bench.guests.only();
    await manager.close({ sandboxes: "detach" });
    expect(vm.isReleased).toBe(true);
    await manager.close({ sandboxes: "stop" });
    const refused = { code: "MSB_ERR_SHUTTING_DOWN" };
    await expect(manager.stop(KEY)).rejects.toMatchObject(refused);
    await expect(manager.remove(KEY, { force: true })).rejects.toMatchObject(refused);
    expect(vm.stops).toBe(0);
    expect(await readFile(upperDisk(), "utf8")).toBe("disk 0");
    const next = await bench.open();
    await next.remove(KEY, { force: true });
    expect(bench.guests.machines.size).toBe(0);
  });
});
