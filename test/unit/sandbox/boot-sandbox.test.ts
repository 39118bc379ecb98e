import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { MsbError } from "../../../src/errors.js";
import type { SandboxManager } from "../../../src/sandbox/sandbox-manager.js";
import type { SandboxKey, SandboxSpecOpts } from "../../../src/sandbox/service.js";
import { deferred } from "../../../src/util/async.js";
import { SandboxBench, SPEC } from "../../helpers/sandbox-bench.js";

/** What an interpreter of the fake kernels is known by. */
const STREAM = 5;

let bench: SandboxBench;
let manager: SandboxManager;
beforeEach(async () => {
  bench = await SandboxBench.make();
  bench.guests.canSave = true;
  bench.onKernels = async (kernels) => {
    kernels.onPrewarm = async () => {
      if (kernels.snapshot().contexts.length === 0) await kernels.create({ language: "python" });
    };
  };
  bench.guests.onMachine = ({ agent }) => {
    const exec = { stream: STREAM, pid: 7, running: true };
    agent.hello["execs"] = [{ ...exec, outputOffset: 0, outputEnd: 0, stdinOffset: 0 }];
    agent.on("exec.attach", () => ({ outputOffset: 0, stdinOffset: 0, running: true }));
  };
  manager = await bench.open({ maxTemplates: 2 });
  // Before the guests end: others would be made for templates.
  onTestFinished(() => manager.close({ sandboxes: "detach" }));
});

const key = (name: string): SandboxKey => ({ namespace: "default", name });
const diskOf = (name: string): string => bench.paths.sandbox("default", name).upperDisk;
const ready = (count: number): Promise<void> =>
  vi.waitFor(() => expect(bench.infos()).toHaveLength(count));

/** The first of its kind, and what is made after it. */
async function withTemplate(spec: SandboxSpecOpts = SPEC): Promise<void> {
  const before = bench.infos().length;
  await manager.start(key("first"), spec);
  await ready(before + 1);
}

/** The requests that a sandbox's agent got. */
function requestsTo(name: string, type: string): readonly Record<string, unknown>[] {
  const machine = [...bench.guests.machines.values()].find(
    ({ config }) => config.upperDisk === diskOf(name),
  );
  const requests = machine?.agent.requests ?? [];
  return requests.filter((request) => request.type === type).map(({ fields }) => fields);
}

describe("a start from a template", () => {
  it("comes after the first start of its kind, with a copy of its disk, and all that is its own", async () => {
    await withTemplate();
    expect(bench.infos()).toEqual(["A template is ready: sandboxes of its kind start quickly"]);
    expect(bench.guests.made).toMatchObject([
      { id: expect.stringMatching(/^tp-[0-9a-f]{12}$/), vcpuCount: 1, memoryMiB: 512 },
    ]);
    const info = await manager.start(key("next_one"), { ...SPEC, labels: { a: "b" } });
    expect(bench.guests.configs).toHaveLength(1);
    expect(bench.guests.resumed).toMatchObject([
      { id: info.vm?.id, vcpuCount: 1, memoryMiB: 512, upperDisk: diskOf("next_one") },
    ]);
    expect(await readFile(diskOf("next_one"), "utf8")).toBe("copy of disk 1");
    expect(requestsTo("next_one", "core.setup")).toEqual([]);
    expect(requestsTo("next_one", "core.resume")).toMatchObject([{ hostname: "next-one" }]);
    const stages = info.stages.map(({ stage }) => stage);
    expect(stages).toEqual(["admission", "image", "disk", "vm", "agent", "kernel"]);
  });

  it("has the template's interpreters, and says that they go on from a saved state", async () => {
    await withTemplate();
    const [, template] = bench.kernels;
    expect(template?.isClosed).toBe(true);
    await manager.start(key("next"), SPEC);
    expect(bench.kernels[2]?.opts).toMatchObject({
      isResumed: true,
      adopt: { contexts: [{ language: "python", stream: STREAM }] },
    });
    expect(requestsTo("next", "exec.close")).toEqual([]);
  });

  it("has its image's folder already, and another one is made", async () => {
    bench.images.add("app", "c", { workingDir: "/app" });
    await withTemplate({ image: "app" });
    expect(requestsTo("first", "file.mkdir")).toMatchObject([{ path: "/app" }]);
    await manager.start(key("next"), { image: "app" });
    expect(requestsTo("next", "file.mkdir")).toEqual([]);
    await manager.start(key("own"), { image: "app", workdir: "/own" });
    expect(requestsTo("own", "file.mkdir")).toMatchObject([{ path: "/own" }]);
    expect(bench.guests.resumed).toHaveLength(2);
  });

  it.each([
    ["environment", { env: ["A=1"] }],
    ["folder", { workdir: "/srv" }],
    ["user", { user: "nobody" }],
  ])("with its own %s starts interpreters of its own", async (_name, own) => {
    await withTemplate();
    await manager.start(key("own"), { ...SPEC, ...own });
    expect(bench.guests.resumed).toHaveLength(1);
    const { opts, prewarmed } = bench.kernels[2]!;
    expect([opts.adopt, opts.isResumed, prewarmed]).toEqual([undefined, undefined, ["python"]]);
    expect(requestsTo("own", "exec.close")).toHaveLength(1);
    expect(requestsTo("own", "file.mkdir")).toHaveLength("workdir" in own ? 1 : 0);
  });

  it.each([
    ["other CPUs", { cpus: 2 }],
    ["other memory", { memoryMiB: 256 }],
    ["another disk", { diskMiB: 100 }],
    ["another image", { image: "node" }],
  ])("is not for %s, which have one of their own", async (_name, other) => {
    await withTemplate();
    await manager.start(key("other"), { ...SPEC, ...other });
    expect(bench.guests.resumed).toEqual([]);
    await ready(2);
    await manager.start(key("other-next"), { ...SPEC, ...other });
    await manager.start(key("next"), SPEC);
    expect(bench.guests.resumed).toHaveLength(2);
    expect(bench.guests.made).toHaveLength(2);
  });

  it("is not for a disk that was kept", async () => {
    await withTemplate();
    await manager.stop(key("first"));
    await manager.start(key("first"), null);
    expect(bench.guests.configs).toHaveLength(2);
    expect(bench.guests.resumed).toEqual([]);
    expect(await readFile(diskOf("first"), "utf8")).toBe("disk 0");
  });

  it("is for a disk that is replaced", async () => {
    await withTemplate();
    await manager.start(key("other"), { ...SPEC, image: "node" });
    await ready(2);
    await manager.stop(key("other"));
    await manager.start(key("other"), SPEC);
    expect(await readFile(diskOf("other"), "utf8")).toBe("copy of disk 1");
  });

  it("of an image that says no language has no interpreter that is started ahead", async () => {
    bench.images.add("app", "c", { cmd: ["/bin/app"], env: [] });
    await withTemplate({ image: "app" });
    await manager.start(key("next"), { image: "app" });
    expect(bench.guests.resumed).toHaveLength(1);
    expect(bench.kernels.map(({ prewarmed }) => prewarmed)).toEqual([[], [], []]);
    expect(bench.kernels[2]?.opts.adopt).toEqual({ contexts: [] });
  });

  it("is made with nothing of the sandbox before it", async () => {
    const own = { ...SPEC, env: ["SECRET=1"], workdir: "/srv", user: "nobody" };
    await withTemplate(own);
    const [, template] = bench.kernels;
    expect(template?.opts.env.join()).not.toContain("SECRET");
    expect(template?.opts).toMatchObject({ workdir: "/", user: "root" });
  });

  it("is not tried when none are wanted, or none can be", async () => {
    const without = await bench.open({ maxTemplates: 0 });
    await without.start(key("a"), SPEC);
    bench.guests.canSave = false;
    await manager.start(key("b"), SPEC);
    await manager.start(key("c"), SPEC);
    await vi.waitFor(() => expect(bench.guests.savingAsked).toBe(1));
    expect(bench.guests.made).toEqual([]);
    expect(bench.guests.configs).toHaveLength(3);
    expect(bench.warnings()).toEqual([]);
  });
});

describe("a template that does not work", () => {
  const broken = new MsbError("MSB_ERR_SNAPSHOT_FAILED", "no state");

  it("is given up, with an event; the sandbox boots with an empty disk", async () => {
    await withTemplate();
    bench.guests.beforeResume = async () => {
      throw broken;
    };
    const info = await manager.start(key("next"), SPEC);
    expect(info).toMatchObject({ state: "running", failure: null });
    expect(bench.guests.configs.at(-1)).toMatchObject({ id: info.vm?.id });
    expect(await readFile(diskOf("next"), "utf8")).toBe("disk 2");
    expect(bench.events()).toContain("head-start-failed");
    expect(bench.warnings()).toEqual(["A template could not be used, and was given up"]);
    expect(bench.guests.saved[0]?.isDisposed).toBe(true);
    const [kernels] = bench.kernels.slice(-1);
    expect([kernels?.opts.adopt, kernels?.prewarmed]).toEqual([undefined, ["python"]]);

    // Another one is made.
    await expect.poll(() => bench.guests.made.length).toBe(2);
  });

  it("because its agent refuses is given up, too, and its VM is ended", async () => {
    await withTemplate();
    const { onMachine } = bench.guests;
    bench.guests.onMachine = (machine) => {
      onMachine(machine);
      machine.agent.on("core.resume", ({ id }, agent) => {
        agent.send(0, { id, type: "error", code: "system", message: "no entropy" });
        return undefined;
      });
    };
    expect((await manager.start(key("next"), SPEC)).state).toBe("running");
    expect(bench.guests.machines.size).toBe(2);
    expect(await readFile(diskOf("next"), "utf8")).toBe("disk 2");
  });

  it("because its disk cannot be copied is given up before there is a VM", async () => {
    await withTemplate();
    bench.guests.saved[0]!.onCopy = async () => {
      throw new Error("bad block");
    };
    await manager.start(key("next"), SPEC);
    expect(bench.guests.resumed).toEqual([]);
    expect(await readFile(diskOf("next"), "utf8")).toBe("disk 2");
    expect(bench.guests.saved[0]?.isDisposed).toBe(true);
  });

  it("for want of space fails the start, as a disk of its own would, and stays", async () => {
    await withTemplate();
    bench.guests.saved[0]!.onCopy = async () => {
      throw new MsbError("MSB_ERR_NO_SPACE", "full");
    };
    await expect(manager.start(key("next"), SPEC)).rejects.toThrow("full");
    expect(bench.warnings()).toEqual([]);
    bench.guests.saved[0]!.onCopy = async () => {};
    await manager.start(key("next"), null);
    expect(bench.guests.resumed).toHaveLength(1);
  });

  it("because the start is called off stays", async () => {
    await withTemplate();
    const resuming = deferred<void>();
    bench.guests.beforeResume = async (_config, signal) => {
      resuming.resolve();
      await new Promise((resolve) => signal?.addEventListener("abort", resolve));
    };
    const started = manager.start(key("next"), SPEC).catch((error: unknown) => error);
    await resuming.promise;
    await manager.stop(key("next"));
    expect(await started).toMatchObject({ code: "MSB_ERR_ABORTED" });
    expect(manager.get(key("next")).state).toBe("stopped");
    expect(bench.warnings()).toEqual([]);

    bench.guests.beforeResume = async () => {};
    await manager.start(key("later"), SPEC);
    expect(bench.guests.resumed).toHaveLength(2);
  });

  it("to be made is a warning, and nothing is left of it", async () => {
    bench.guests.beforeMake = async (config) => {
      expect(existsSync(config.upperDisk!)).toBe(true);
      throw broken;
    };
    await manager.start(key("first"), SPEC);
    await vi.waitFor(() => expect(bench.warnings()).toEqual(["A template could not be made"]));
    expect(existsSync(bench.guests.made[0]!.upperDisk!)).toBe(false);
    await manager.start(key("second"), SPEC);
    expect(bench.guests.made).toHaveLength(1);
  });
});

describe("the files of templates", () => {
  it("are open until the last start that took them has its guest", async () => {
    await withTemplate();
    const [saved] = bench.guests.saved;
    const go = deferred<void>();
    bench.guests.beforeResume = async () => go.promise;
    const starts = ["a", "b"].map((name) => manager.start(key(name), SPEC));
    await vi.waitFor(() => expect(bench.guests.resumed).toHaveLength(2));
    const closed = manager.close({ sandboxes: "detach" });
    go.resolve();
    await Promise.allSettled(starts);
    await closed;
    expect(saved?.isDisposed).toBe(true);
    expect(bench.warnings()).toEqual([]);
  });

  it("are closed, and one that is being made is called off, when the server ends", async () => {
    await withTemplate();
    const making = deferred<void>();
    bench.guests.beforeMake = async (_config, signal) => {
      making.resolve();
      await new Promise((resolve) => signal?.addEventListener("abort", resolve));
    };
    await manager.start(key("other"), { ...SPEC, image: "node" });
    await making.promise;
    await manager.close({ sandboxes: "stop" });
    expect(bench.guests.saved.map(({ isDisposed }) => isDisposed)).toEqual([true]);
    expect(bench.guests.machines.size).toBe(0);
    expect(existsSync(bench.guests.made[1]!.upperDisk!)).toBe(false);
    expect(bench.warnings()).toEqual([]);
  });
});
