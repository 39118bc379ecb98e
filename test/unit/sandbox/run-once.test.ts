import { existsSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Channel } from "../../../src/agent/frame.js";
import { MsbError } from "../../../src/errors.js";
import { msbPaths } from "../../../src/paths.js";
import { runOnce, type RunOnceOpts, type RunOnceRequest } from "../../../src/sandbox/run-once.js";
import { FakeAgent } from "../../helpers/fake-agent.js";
import { FakeDriver } from "../../helpers/fake-driver.js";
import { FakeImages, fakeImage } from "../../helpers/fake-images.js";
import { tempDir } from "../../helpers/temp-dir.js";

let agent: FakeAgent;
let driver: FakeDriver;
let images: FakeImages;
beforeEach(async () => {
  agent = await FakeAgent.start();
  agent.on("core.setup", () => ({ timings: [] }));
  agent.on("exec.start", () => ({ pid: 7 }));
  driver = new FakeDriver("qemu");
  driver.agentSocket = agent.socketPath;
  images = new FakeImages();
});
afterEach(async () => {
  for (const vm of driver.booted) vm.end();
  await agent.stop();
});

async function setUp(overrides: Partial<RunOnceOpts> = {}) {
  const paths = msbPaths(await tempDir());
  const disks: { path: string; sizeBytes: number }[] = [];
  const opts: RunOnceOpts = {
    images,
    openHypervisor: async () => ({ driver, initramfs: "/boot", paths }),
    makeUpperDisk: async (path, { sizeBytes }) => {
      disks.push({ path, sizeBytes });
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, "");
    },
    signal: new AbortController().signal,
    ...overrides,
  };
  return { paths, disks, opts };
}

const ASKED: RunOnceRequest = { image: "python:3.12" };
const methods = (): string[] => images.calls.map(({ method }) => method);
const started = (): Record<string, unknown> | undefined =>
  agent.requests.find(({ type }) => type === "exec.start")?.fields;

describe("a run", () => {
  it("boots a microVM that ends with this process, on a disk that has no name any more when it runs", async () => {
    const { disks, opts, paths } = await setUp();
    driver.onBoot = () => expect(existsSync(disks[0]!.path)).toBe(true);
    await using run = await runOnce({ ...ASKED, memoryMiB: 512, cpus: 2, diskMiB: 64 }, opts);
    expect(driver.configs).toEqual([
      {
        id: expect.stringMatching(/^run-[0-9a-f]{12}$/),
        vcpuCount: 2,
        memoryMiB: 512,
        initramfs: "/boot",
        imageDisk: "/home/user/.msb-ts/images/disks/k.erofs",
        upperDisk: disks[0]!.path,
        lifetime: "owner",
        leaseMs: 0,
      },
    ]);
    expect(disks).toEqual([
      { path: expect.stringContaining(`.${process.pid}.`), sizeBytes: 64 * 2 ** 20 },
    ]);
    expect(await readdir(paths.tempDir)).toEqual([]);
    expect(run).toMatchObject({ driver: "qemu", argv: ["python3"] });
    expect(run.stages.map(({ stage }) => stage)).toEqual([
      "runtime",
      "image",
      "disk",
      "vm",
      "agent",
      "start",
    ]);
  });

  it("sweeps the disk of an earlier one that was killed before its microVM had it", async () => {
    const { opts, paths } = await setUp();
    await mkdir(paths.tempDir, { recursive: true });
    const { hostname } = await import("node:os");
    // No process has this number.
    const dead = paths.tempFile(`run-disk.${hostname()}.99999999.0123456789ab.tmp`);
    await writeFile(dead, "");
    await using _run = await runOnce(ASKED, opts);
    expect(existsSync(dead)).toBe(false);
  });

  it("starts the command with the environment, the folder and the user of image and request", async () => {
    const { opts } = await setUp();
    const request = {
      ...ASKED,
      command: ["ls", "-l"],
      env: ["A=b"],
      workdir: "/work",
      user: "app",
      timeoutMs: 1_500,
      stdin: true,
      pty: { cols: 100, rows: 30, term: "vt100" },
    };
    await using _run = await runOnce(request, opts);
    expect(started()).toEqual({
      argv: ["ls", "-l"],
      env: ["TERM=vt100", "PATH=/usr/bin", "HOME=/home/app", "LANG=C.UTF-8", "A=b"],
      cwd: "/work",
      user: "app",
      stdin: true,
      pty: { cols: 100, rows: 30 },
      timeoutMs: 1_500,
    });
    expect(agent.requests.find(({ type }) => type === "file.mkdir")?.fields).toEqual({
      path: "/work",
      recursive: true,
    });
  });

  it("hands on what the command writes and how it ends", async () => {
    const { opts } = await setUp();
    agent.on("exec.start", ({ stream }) => {
      setImmediate(() => {
        agent.output(stream, "out");
        agent.output(stream, "err", { channel: Channel.stderr });
        agent.send(stream, { type: "exec.exited", exitCode: 3 });
      });
      return { pid: 7 };
    });
    await using run = await runOnce(ASKED, opts);
    const chunks: string[] = [];
    for await (const { channel, data } of run.command.output) chunks.push(`${channel} ${data}`);
    expect(chunks).toEqual([`${Channel.stdout} out`, `${Channel.stderr} err`]);
    expect(await run.command.exited).toMatchObject({ exitCode: 3, signal: null });
  });

  it("holds the image until it is over, and ends its microVM then, once", async () => {
    const { opts } = await setUp({ pullPolicy: "never" });
    const run = await runOnce(ASKED, opts);
    expect(methods()).toEqual(["hold", "ensure"]);
    expect(images.calls[1]!.args).toMatchObject(["python:3.12", { pullPolicy: "never" }]);
    await Promise.all([run[Symbol.asyncDispose](), run[Symbol.asyncDispose]()]);
    expect(methods()).toEqual(["hold", "ensure", "let go"]);
    expect(driver.booted[0]!.stops).toBe(1);
    await expect(run.command.exited).rejects.toMatchObject({ code: "MSB_ERR_VM_EXITED" });
  });

  it("stops in order when it is asked to", async () => {
    const { opts } = await setUp();
    agent.on("core.shutdown", () => {
      setImmediate(() => driver.booted[0]!.end());
      return {};
    });
    const run = await runOnce(ASKED, opts);
    await run.stop();
    expect(agent.requests.at(-1)).toMatchObject({ type: "core.shutdown" });
    expect(methods().at(-1)).toBe("let go");
  });
});

describe("a run that does not come to its command", () => {
  const nothingLeft = async (): Promise<void> => {
    for (const vm of driver.booted) expect(vm.stops).toBeGreaterThan(0);
    expect(methods().filter((name) => name === "hold").length).toBe(
      methods().filter((name) => name === "let go").length,
    );
  };

  it("asks for no image where no microVM can run", async () => {
    const { opts } = await setUp();
    driver.verdict = {
      usable: false,
      code: "MSB_ERR_QEMU_MISSING",
      reason: "no QEMU",
      facts: { variable: "X" },
    };
    await expect(runOnce(ASKED, opts)).rejects.toMatchObject({
      code: "MSB_ERR_QEMU_MISSING",
      message: "no QEMU",
    });
    expect(methods()).toEqual([]);
  });

  it("leaves nothing when the image is not to be had, or its disk cannot be made", async () => {
    const noImage = await setUp();
    images.before["ensure"] = () =>
      Promise.reject(new MsbError("MSB_ERR_IMAGE_NOT_FOUND", "no image"));
    await expect(runOnce(ASKED, noImage.opts)).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_NOT_FOUND",
    });
    delete images.before["ensure"];
    const noDisk = await setUp({
      makeUpperDisk: async (path) => {
        await writeFile(path, "half");
        throw new MsbError("MSB_ERR_NO_SPACE", "full");
      },
    });
    await mkdir(noDisk.paths.tempDir);
    await expect(runOnce(ASKED, noDisk.opts)).rejects.toMatchObject({ code: "MSB_ERR_NO_SPACE" });
    expect(await readdir(noDisk.paths.tempDir)).toEqual([]);
    expect(driver.booted).toEqual([]);
    await nothingLeft();
  });

  it("names a command that cannot be started, and leaves nothing", async () => {
    const { opts, paths } = await setUp();
    agent.on("exec.start", ({ id, stream }) => {
      const error = { code: "exec", message: "No such file", operation: "execve", errno: 2 };
      agent.send(stream, { id, type: "error", ...error });
      return undefined;
    });
    await expect(runOnce({ ...ASKED, command: ["nope"] }, opts)).rejects.toMatchObject({
      code: "MSB_ERR_EXEC_FAILED",
      message: expect.stringContaining("nope"),
      details: { operation: "execve", errno: 2 },
    });
    await nothingLeft();
    expect(await readdir(paths.tempDir)).toEqual([]);
  });

  it("is called off by its signal while it boots", async () => {
    const abort = new AbortController();
    const { opts, paths } = await setUp({ signal: abort.signal });
    agent.on("core.setup", () => {
      abort.abort(new MsbError("MSB_ERR_ABORTED", "Stopped by SIGINT."));
      return undefined;
    });
    await expect(runOnce(ASKED, opts)).rejects.toThrow("Stopped by SIGINT.");
    await nothingLeft();
    expect(await readdir(paths.tempDir)).toEqual([]);
  });

  it.each([
    [{ memoryMiB: 1 }, "memoryMiB"],
    [{ workdir: "relative" }, "workdir"],
    [{ env: ["x"] }, "env"],
  ])("refuses %j before it asks for anything", async (wrong, option) => {
    const { opts } = await setUp();
    await expect(runOnce({ ...ASKED, ...wrong }, opts)).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      details: { option },
    });
    expect(methods()).toEqual([]);
  });

  it("says when the image does not name a command", async () => {
    const { opts } = await setUp();
    images.images = [fakeImage({ config: { ...fakeImage().config, cmd: [] } })];
    await expect(runOnce(ASKED, opts)).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      message: expect.stringContaining("python:3.12"),
    });
    expect(driver.booted).toEqual([]);
    await nothingLeft();
  });
});
