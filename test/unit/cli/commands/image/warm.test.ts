import { describe, expect, it } from "vitest";
import { MsbError } from "../../../../../src/errors.js";
import type { StartOpts } from "../../../../../src/sandbox/service.js";
import { cli } from "../../../../helpers/cli.js";
import { sandboxCli } from "../../../../helpers/sandbox-cli.js";
import { tempDir } from "../../../../helpers/temp-dir.js";

const STREAMED = { onProgress: expect.any(Function) };

describe("image warm", () => {
  it("says what is ready and for which sandboxes", async () => {
    const { run, argsOf } = await sandboxCli();
    const { exitCode, stdout, stderr } = await run(["image", "warm", "python"]);
    expect(stdout).toBe(
      "Warmed python: a template of 81 MB, for sandboxes of 1024 MiB, 1 CPU and a disk of 4096 MiB\n",
    );
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(argsOf("warm")).toMatchObject([[{ image: "python" }, STREAMED]]);
    expect(Object.keys(argsOf("warm")[0]![0] as object)).toEqual(["image"]);
  });

  it("says that it is ready when it was there before", async () => {
    const { run, sandboxes } = await sandboxCli();
    sandboxes.warmed = { wasReady: true, headStart: "guest", keptBytes: null };
    const { stdout } = await run(["image", "warm", "a\u001b[2Jb", "--cpus", "2"]);
    expect(stdout).toBe(
      "a\ufffd[2Jb is ready: a guest runs ahead, for sandboxes of 1024 MiB, 2 CPUs and a disk of 4096 MiB\n",
    );
  });

  it("hands the size on, as create does", async () => {
    const { run, argsOf } = await sandboxCli();
    await run("image warm alpine:3 -m 2g --cpus 3 --disk 512m".split(" "));
    expect(argsOf("warm")[0]![0]).toEqual({
      image: "alpine:3",
      memoryMiB: 2_048,
      cpus: 3,
      diskMiB: 512,
    });
  });

  it("is one document with --json", async () => {
    const { run } = await sandboxCli();
    const { stdout, stderr } = await run(["image", "warm", "python", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({
      ...{ image: "python", headStart: "template", wasReady: false, keptBytes: 81e6 },
    });
    expect(stderr).toBe("");
  });

  it("shows what is done, in lines when nobody watches", async () => {
    const { run, sandboxes } = await sandboxCli();
    sandboxes.before.warm = async (_request: unknown, { onProgress }: StartOpts) => {
      for (const label of ["layer 1", "boot", "warm-up", "save"]) {
        const step = { id: label, label, totalBytes: null };
        onProgress?.({ ...step, state: "running", doneBytes: 0 });
        // Of what comes at once the newest is told.
        await new Promise((resolve) => setImmediate(resolve));
        onProgress?.({ ...step, state: "done", doneBytes: label === "save" ? 81e6 : 0 });
      }
    };
    const { stderr } = await run(["image", "warm", "python"]);
    expect(stderr).toContain("boot: started\nboot: done\nwarm-up: started\n");
    expect(stderr).toMatch(/save: done, 81 MB\n$/);
  });

  it("tells why nothing is made", async () => {
    const { run, sandboxes } = await sandboxCli();
    sandboxes.before.warm = () => {
      throw new MsbError("MSB_ERR_INVALID_STATE", "It was started with --max-templates 0.");
    };
    const { exitCode, stdout, stderr } = await run(["image", "warm", "python"]);
    expect(stderr).toBe("msb-ts: It was started with --max-templates 0. (MSB_ERR_INVALID_STATE)\n");
    expect([exitCode, stdout]).toEqual([75, ""]);
  });

  it("says so when no server runs", async () => {
    const { exitCode, stderr } = await cli(["image", "warm", "python"], {
      env: { MSB_HOME: await tempDir() },
    });
    expect(stderr).toContain("msb-ts server start --detach");
    expect(stderr).toContain("(MSB_ERR_SERVER_NOT_RUNNING)");
    expect(exitCode).toBe(69);
  });

  it.each([
    [["-m", "lots"], "512m or 2g"],
    [["--cpus", "0"], "whole number"],
    [["second"], "Too many arguments"],
  ])("refuses %j and asks no server", async (words, message) => {
    const { run, sandboxes } = await sandboxCli();
    const { exitCode, stderr } = await run(["image", "warm", "python", ...words]);
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
    expect(sandboxes.calls).toEqual([]);
  });
});
