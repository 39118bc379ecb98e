import { once } from "node:events";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { MsbError } from "../../../src/errors.js";
import type { SandboxManager } from "../../../src/sandbox/sandbox-manager.js";
import { deferred } from "../../../src/util/async.js";
import type { Progress } from "../../../src/util/progress.js";
import { KEY, SandboxBench } from "../../helpers/sandbox-bench.js";

let bench: SandboxBench;
let manager: SandboxManager;
beforeEach(async () => {
  bench = await SandboxBench.make();
  bench.guests.canSave = true;
  manager = await bench.open({ maxTemplates: 2 });
  onTestFinished(() => manager.close({ sandboxes: "detach" }));
});

describe("an image that is warmed", () => {
  it("has a template for the very first sandbox, when both have the defaults", async () => {
    const digest = bench.images.images.get("python")!.digest;
    expect(await manager.warm({ image: "python" })).toEqual({
      ...{ image: "python", imageDigest: digest, memoryMiB: 1024, cpus: 1, diskMiB: 4096 },
      ...{ headStart: "template", wasReady: false, keptBytes: 100 * 2 ** 20 },
    });
    expect(bench.images.holds).toBe(0);
    await manager.start(KEY, { image: "python" });
    expect(bench.guests.resumed).toHaveLength(1);
    expect(bench.guests.configs).toEqual([]);
    expect(bench.kernels.at(-1)?.opts).toMatchObject({ isResumed: true });
    expect(await manager.warm({ image: "python" })).toMatchObject({ wasReady: true });
  });

  it("is warmed for the size that was named", async () => {
    const size = { memoryMiB: 256, cpus: 2, diskMiB: 100 };
    await manager.warm({ image: "python", ...size });
    await manager.start(KEY, { image: "python", ...size, env: ["A=1"] });
    expect(bench.guests.resumed).toMatchObject([{ memoryMiB: 256, vcpuCount: 2 }]);
    await manager.start({ ...KEY, name: "other" }, { image: "python" });
    expect(bench.guests.resumed).toHaveLength(1);
  });

  it("counts as in use as long as there is what was made of it", async () => {
    await manager.start(KEY, { image: "python", memoryMiB: 256 });
    const [python, node] = ["python", "node"].map((name) => bench.images.images.get(name)!.digest);
    await manager.warm({ image: "node" });
    await manager.warm({ image: "node" });
    await manager.warm({ image: "python" });
    // Not the one that was made without being asked for.
    expect(bench.images.kept).toEqual([node, python]);
    await manager.warm({ image: "python", memoryMiB: 128 });
    expect(bench.guests.saved.filter(({ isDisposed }) => isDisposed)).not.toHaveLength(0);
    await expect.poll(() => bench.images.kept).toEqual([python, python]);
    await manager.close({ sandboxes: "stop" });
    expect(bench.images.kept).toEqual([]);
  });

  it("counts as in use as long as guests of it run ahead", async () => {
    bench.guests.canSave = false;
    const ahead = await bench.open({ warmGuests: 1 });
    onTestFinished(() => ahead.close({ sandboxes: "detach" }));
    await ahead.warm({ image: "python" });
    await ahead.warm({ image: "python" });
    expect(bench.images.kept).toEqual([bench.images.images.get("python")!.digest]);
    await ahead.close({ sandboxes: "stop" });
    expect(bench.images.kept).toEqual([]);
  });

  it("is downloaded, and held until its template is there", async () => {
    let holds = 0;
    bench.guests.beforeMake = async () => void ({ holds } = bench.images);
    await manager.warm({ image: "node" });
    expect([bench.images.asked, holds, bench.images.holds]).toEqual([["node"], 1, 0]);
  });

  it.each([
    ["too small", { memoryMiB: 1 }, "memoryMiB cannot be 1"],
    ["larger than all sandboxes may be", { memoryMiB: 999_999 }, "may have 4096"],
  ])("is not touched for sandboxes that are %s", async (_what, size, message) => {
    const small = await bench.open({ maxTemplates: 1, budget: { memoryMiB: 4096 } });
    await expect(small.warm({ image: "python", ...size })).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      message: expect.stringContaining(message),
    });
    expect([bench.images.asked, bench.guests.made]).toEqual([[], []]);
  });

  it("is not touched where no templates are kept", async () => {
    const without = await bench.open({ maxTemplates: 0 });
    await expect(without.warm({ image: "python" })).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_STATE",
      message: expect.stringContaining("--max-templates"),
    });
    expect(bench.images.asked).toEqual([]);
  });

  it("is warmed where only a microVM can tell whether guests can be kept: one tells first", async () => {
    bench.guests.canSave = false;
    bench.guests.untold = true;
    const steps: string[] = [];
    const onProgress = ({ id, state }: Progress): void => void steps.push(`${id} ${state}`);
    expect(await manager.warm({ image: "python" }, { onProgress })).toMatchObject({
      headStart: "template",
      wasReady: false,
    });
    expect(bench.guests.decided).toMatchObject([{ imageDisk: "/images/a.erofs", upperDisk: null }]);
    expect(steps.slice(0, 3)).toEqual(["hypervisor running", "hypervisor done", "boot running"]);
    await manager.warm({ image: "node" });
    expect(bench.guests.decided).toHaveLength(1);
  });

  it("cannot be warmed where a microVM has told that guests cannot be kept, unless some run ahead", async () => {
    bench.guests.canSave = false;
    bench.guests.untold = false;
    await expect(manager.warm({ image: "python" })).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_STATE",
      message: expect.stringMatching(/hypervisor of this server cannot keep.*--warm-guests 1/),
    });
    expect([bench.guests.decided.length, bench.images.holds]).toEqual([1, 0]);

    bench.guests.untold = false;
    const ahead = await bench.open({ maxTemplates: 0, warmGuests: 1 });
    onTestFinished(() => ahead.close({ sandboxes: "detach" }));
    expect(await ahead.warm({ image: "python" })).toMatchObject({ headStart: "guest" });
    expect(bench.guests.decided).toHaveLength(2);
  });

  it("is not touched where neither could be, whatever a microVM would tell", async () => {
    bench.guests.untold = true;
    const without = await bench.open({ maxTemplates: 0 });
    await expect(without.warm({ image: "python" })).rejects.toMatchObject({
      message: expect.stringContaining("--max-templates"),
    });
    expect([bench.images.asked, bench.guests.decided]).toEqual([[], []]);
  });

  it("has no microVM that tells when its server ends", async () => {
    bench.guests.untold = true;
    const told = deferred<AbortSignal>();
    bench.guests.beforeDecide = async (signal) => {
      told.resolve(signal);
      await once(signal, "abort");
    };
    const warming = manager.warm({ image: "python" });
    warming.catch(() => {});
    const signal = await told.promise;
    await manager.close({ sandboxes: "stop" });
    expect(signal.aborted).toBe(true);
    await expect(warming).rejects.toMatchObject({ code: "MSB_ERR_SHUTTING_DOWN" });
    expect(bench.guests.made).toEqual([]);
  });

  it("that is nowhere is the error of its download", async () => {
    await expect(manager.warm({ image: "nope" })).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_NOT_FOUND",
    });
    expect(bench.images.holds).toBe(0);
  });

  it("has nothing made when the caller goes while it is downloaded", async () => {
    const stop = new AbortController();
    const gone = new MsbError("MSB_ERR_ABORTED", "The client closed the connection.");
    bench.images.before = async () => stop.abort(gone);
    const { signal } = stop;
    await expect(manager.warm({ image: "python" }, { signal })).rejects.toBe(gone);
    expect(bench.guests.made).toEqual([]);
  });

  it("is none of a server that ends", async () => {
    await manager.close({ sandboxes: "stop" });
    await expect(manager.warm({ image: "python" })).rejects.toMatchObject({
      code: "MSB_ERR_SHUTTING_DOWN",
    });
  });
});
