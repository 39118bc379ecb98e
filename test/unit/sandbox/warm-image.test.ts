import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { MsbError } from "../../../src/errors.js";
import type { SandboxManager } from "../../../src/sandbox/sandbox-manager.js";
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
