import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { msbPaths } from "../../../src/paths.js";
import { findServer } from "../../../src/server/process/server-lock.js";
import { builtCli } from "../../helpers/built-cli.js";
import { isRunning } from "../../helpers/processes.js";
import { runInTerminal, runProgram } from "../../helpers/run-program.js";
import { linkRuntime } from "../../helpers/shared-runtime.js";
import { tempDir } from "../../helpers/temp-dir.js";

/** What a start says that takes a while, as on a busy machine. */
const STILL_STARTING = /^The server is still starting; its log is .*\n/;

/** An MSB_HOME of its own with the runtime of the tests, and the real program there. */
async function machine() {
  const home = await tempDir();
  await linkRuntime(home);
  const env = { MSB_HOME: home, MSB_PORT: "0" };
  const argv = (words: readonly string[]) => [process.execPath, builtCli(), "server", ...words];
  const msb = (...words: string[]) => runProgram(argv(words), { env });
  const running = async () => {
    const found = await findServer(msbPaths(home));
    if (found.state !== "running") throw new Error(`the server is ${found.state}`);
    return { ...found.process, url: found.process.url! };
  };
  onTestFinished(async () => {
    const found = await findServer(msbPaths(home));
    if ("process" in found) process.kill(found.process.pid, "SIGKILL");
  });
  return { home, env, argv, msb, running };
}

describe("the real server", () => {
  it("serves in the background who has a key, until it is stopped", async () => {
    const { home, msb, running } = await machine();
    const start = await msb("start", "--detach");
    expect([start.exitCode, start.stderr.replace(STILL_STARTING, "")]).toEqual([0, ""]);
    const { url, pid, logFile } = await running();
    expect(logFile).toBe(join(home, "server.log"));
    const health = await fetch(`${url}/api/v1/health`);
    expect(await health.json()).toEqual({ message: "Service is healthy" });
    expect((await fetch(`${url}/api/v1/info`)).status).toBe(401);
    const { token, id } = JSON.parse((await msb("keygen", "--json")).stdout) as {
      token: string;
      id: string;
    };
    const info = () =>
      fetch(`${url}/api/v1/info`, { headers: { authorization: `Bearer ${token}` } });
    expect((await info()).status).toBe(200);
    await msb("keygen", "--revoke", id);
    expect((await info()).status).toBe(401);
    expect(JSON.parse((await msb("status", "--json")).stdout)).toMatchObject({
      pid,
      sandboxes: { running: 0, failed: 0 },
    });
    expect((await msb("stop")).exitCode).toBe(0);
    expect(await isRunning(pid)).toBe(false);
    expect((await msb("logs")).stdout).not.toContain(token);
  });

  it("asks nobody for a key in development mode, and ends with Ctrl-C", async () => {
    const { argv, env } = await machine();
    const { exitCode, stdout } = await runInTerminal(argv(["start", "--dev"]), {
      env,
      answers: [["Running in development mode", "\u0003"]],
    });
    expect(stdout).toMatch(/Server listening on 127\.0\.0\.1:\d+/);
    expect(exitCode).toBe(0);
  });

  it("takes the place of one that was killed", async () => {
    const { msb, running } = await machine();
    await msb("start", "-d");
    const first = await running();
    process.kill(first.pid, "SIGKILL");
    await expect.poll(() => isRunning(first.pid)).toBe(false);
    expect((await msb("start", "-d")).exitCode).toBe(0);
    expect((await running()).pid).not.toBe(first.pid);
  });
});
