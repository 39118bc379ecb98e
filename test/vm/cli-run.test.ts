/** `msb-ts run`: the real program, in pipes and in a terminal, with microVMs that really run. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { msbPaths } from "../../src/paths.js";
import { builtCli } from "../helpers/built-cli.js";
import { runInTerminal, runProgram } from "../helpers/run-program.js";
import { ServerHome } from "../helpers/server-home.js";
import { BUSYBOX_IMAGE } from "../helpers/server-images.js";
import { testDrivers } from "../helpers/vm-fixture.js";

const RUN = [process.execPath, builtCli(), "run", "-m", "128m", "--disk", "64m"];

describe.each(testDrivers)("msb-ts run under %s", (driver) => {
  let home: ServerHome;
  let env: Record<string, string>;
  beforeAll(async () => {
    home = await ServerHome.make();
    env = { MSB_HOME: home.path, MSB_HYPERVISOR: driver, MSB_BOOT_TIMEOUT_MS: "120000" };
  });
  afterAll(() => home?.[Symbol.asyncDispose]());

  const run = (words: readonly string[], opts: Parameters<typeof runProgram>[1] = {}) =>
    runProgram([...RUN, ...words], { ...opts, env });
  const sh = (script: string, ...options: string[]): string[] => [
    ...options,
    BUSYBOX_IMAGE,
    "--",
    "sh",
    "-c",
    script,
  ];

  async function nothingLeft(): Promise<void> {
    expect(await home.settled([])).toEqual([]);
    const { vmRoot, tempDir, imagePinRoot } = msbPaths(home.path);
    for (const folder of [vmRoot, tempDir, imagePinRoot]) {
      expect(await readdir(folder).catch(() => [])).toEqual([]);
    }
  }

  it("passes output on, ends with the command's exit code, and leaves nothing", async () => {
    const script = "echo out; echo err >&2; pwd; echo $IMAGE_SAYS $A; touch /new; exit 3";
    const end = await run(sh(script, "-e", "A=b"));
    expect(end).toEqual({
      exitCode: 3,
      signal: null,
      stdout: "out\n/root\nhello b\n",
      stderr: "err\n",
    });
    await nothingLeft();
  });

  it("has exit codes for signals, and for what cannot be run", async () => {
    expect(await run(sh("kill -9 $$"))).toMatchObject({ exitCode: 137, stderr: "" });
    const missing = await run([BUSYBOX_IMAGE, "no-such-command", "-x"]);
    expect(missing).toMatchObject({ exitCode: 127, stdout: "" });
    expect(missing.stderr).toMatch(/no-such-command cannot be run.*MSB_ERR_EXEC_FAILED/s);
    expect(await run([BUSYBOX_IMAGE, "/etc/passwd"])).toMatchObject({ exitCode: 126 });
    expect(await run(["no/such/image", "--pull", "never", "--", "x"])).toMatchObject({
      exitCode: 125,
      stderr: expect.stringContaining("MSB_ERR_IMAGE_NOT_FOUND"),
    });
    await nothingLeft();
  });

  it("kills the command when its time is up", async () => {
    const end = await run(sh("echo begun; sleep 1000", "--timeout", "1s"));
    expect(end).toMatchObject({ exitCode: 124, stdout: "begun\n" });
    await nothingLeft();
  });

  it("carries 8 MiB of bytes through standard input and output, and the end of them", async () => {
    const bytes = randomBytes(8 * 2 ** 20);
    const child = spawn(RUN[0]!, [...RUN.slice(1), "-i", BUSYBOX_IMAGE, "cat"], {
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "inherit"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    child.stdin.end(bytes);
    const chunks: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    const [exitCode] = (await once(child, "close")) as [number];
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
    expect(exitCode).toBe(0);
  });

  it("is one document with --json", async () => {
    const end = await run(sh("cat; echo err >&2; exit 1", "-i", "--json"), { input: "hi" });
    expect(JSON.parse(end.stdout)).toMatchObject({
      driver,
      exitCode: 1,
      stdout: "hi",
      stderr: "err\n",
      stages: expect.arrayContaining([{ stage: "agent", durationMs: expect.any(Number) }]),
    });
    expect(end).toMatchObject({ exitCode: 1, stderr: "" });
  });

  it("passes Ctrl-C on to the command, which may end as it likes", async () => {
    const script = "trap 'echo caught; exit 9' INT; echo ready >&2; while :; do sleep 1; done";
    const end = await run(sh(script), { signals: [["ready", "SIGINT"]] });
    expect(end).toMatchObject({ exitCode: 9, stdout: "caught\n" });
    await nothingLeft();
  });

  it("ends the microVM at a second Ctrl-C", async () => {
    const script = "trap 'echo again >&2' INT; echo ready >&2; while :; do sleep 1; done";
    const signals = [
      ["ready", "SIGINT"],
      ["again", "SIGINT"],
    ] as const;
    expect(await run(sh(script), { signals })).toMatchObject({ exitCode: 130 });
    await nothingLeft();
  });

  it("stops the guest at SIGTERM", async () => {
    const end = await run(sh("echo ready >&2; sleep 1000"), { signals: [["ready", "SIGTERM"]] });
    expect(end).toMatchObject({ exitCode: 143 });
    await nothingLeft();
  });

  it("leaves no process and no disk when it is killed", async () => {
    const end = await run(sh("echo ready >&2; sleep 1000"), { signals: [["ready", "SIGKILL"]] });
    expect(end.signal).toBe("SIGKILL");
    expect(await home.settled([])).toEqual([]);
    expect(await readdir(msbPaths(home.path).tempDir).catch(() => [])).toEqual([]);
    // What names the microVM goes with the next one.
    expect(await run(sh("exit 0"))).toMatchObject({ exitCode: 0 });
    await nothingLeft();
  });

  it("gives the command a terminal of the size of this one, where Ctrl-C is a key", async () => {
    const script = "test -t 0 && test -t 1 && stty size; echo $TERM ready; sleep 1000";
    const end = await runInTerminal([...RUN, ...sh(script, "-it")], {
      env,
      rows: 33,
      answers: [["ready", "\u0003"]],
    });
    expect(end.stdout).toContain("33 80\r\nxterm ready\r\n");
    expect(end.exitCode).toBe(130);
    await nothingLeft();
  });

  it("reads a terminal to its end without -t, and is stopped there by Ctrl-C", async () => {
    const script = "read line; echo got $line; cat; echo at the end; sleep 1000";
    const end = await runInTerminal([...RUN, ...sh(`echo ready; ${script}`, "-i")], {
      env,
      answers: [
        ["ready", "typed\r"],
        ["got typed", "\u0004"],
        ["at the end", "\u0003"],
      ],
    });
    expect(end.stdout).toContain("got typed");
    expect(end.exitCode).toBe(130);
    await nothingLeft();
  });
});
