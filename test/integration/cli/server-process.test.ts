import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { msbPaths } from "../../../src/paths.js";
import { findServer } from "../../../src/server/process/server-lock.js";
import { builtCliWithFakeImages } from "../../helpers/built-cli.js";
import { isRunning } from "../../helpers/processes.js";
import { runInTerminal, runProgram } from "../../helpers/run-program.js";
import { tempDir } from "../../helpers/temp-dir.js";

/** What a start says that takes a while, as on a busy machine. */
const STILL_STARTING = /^The server is still starting; its log is .*\n/;

/** A folder of its own, and the program that serves there; whatever it leaves running is killed after the test. */
async function machine(mode = "", variables: Record<string, string> = {}) {
  const home = await tempDir();
  const paths = msbPaths(home);
  const eventFile = join(home, "events");
  const env = {
    MSB_HOME: home,
    MSB_PORT: "0",
    MSB_FAKE: mode,
    MSB_FAKE_EVENTS: eventFile,
    ...variables,
  };
  onTestFinished(async () => {
    const found = await findServer(paths);
    if ("process" in found) process.kill(found.process.pid, "SIGKILL");
  });
  const argv = (words: readonly string[]) => [
    process.execPath,
    builtCliWithFakeImages(),
    "server",
    ...words,
  ];
  const msb = (...words: string[]) => runProgram(argv(words), { env });
  const running = async () => {
    const found = await findServer(paths);
    if (found.state !== "running") throw new Error(`the server is ${found.state}`);
    return { ...found.process, url: found.process.url! };
  };
  const events = async () =>
    (await readFile(eventFile, "utf8").catch(() => "")).split("\n").filter((line) => line !== "");
  /** In the foreground, with what it says. */
  const serve = (...words: string[]) => {
    const child = spawn(process.execPath, argv(["start", ...words]).slice(1), {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    const exited = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
    let stdout = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.resume();
    const ready = async () => {
      await expect.poll(() => stdout).toContain("listening on");
    };
    return { child, exited, ready, stdout: () => stdout };
  };
  return { home, paths, env, argv, msb, running, events, serve };
}

describe("a server in the background", () => {
  it("is there when start answers, outlives it, and is gone when stop answers", async () => {
    const { home, msb, running, events } = await machine();
    const start = await msb("start", "--detach", "--reset-key");
    const server = await running();
    expect([start.exitCode, start.stderr.replace(STILL_STARTING, "")]).toEqual([0, ""]);
    expect(start.stdout).toBe(
      `Server listening on ${server.address}\nURL: ${server.url}\nProcess: ${server.pid}\n` +
        `Log: ${join(home, "server.log")}\n`,
    );
    expect((await fetch(`${server.url}/api/v1/health`)).status).toBe(200);
    const status = await msb("status", "--json");
    expect(JSON.parse(status.stdout)).toMatchObject({
      state: "running",
      pid: server.pid,
      sandboxes: { running: 2, stopped: 1, failed: 0 },
    });
    const stop = await msb("stop");
    expect(stop).toMatchObject({ exitCode: 0, stdout: "Stopped the server\n" });
    expect(await isRunning(server.pid)).toBe(false);
    expect(await events()).toEqual([
      "launch reset=true driver=auto",
      "info authorized=true",
      "close stop",
    ]);
    expect((await msb("logs")).stdout).toMatch(/INFO {2}The server has stopped\n$/);
    expect((await msb("status")).exitCode).toBe(3);
  });

  it("has a session, a folder and an environment of its own", async () => {
    const { msb, running, home } = await machine("", {
      SECRET_OF_A_SHELL: "x",
      MSB_API_KEY: "x",
      MSB_VMM_PATH: "relative",
    });
    await msb("start", "-d", "--dev");
    const { url, pid } = await running();
    const { env, cwd } = (await (await fetch(`${url}/environment`)).json()) as {
      env: Record<string, string>;
      cwd: string;
    };
    expect(env).toMatchObject({ MSB_HOME: home, MSB_VMM_PATH: join(process.cwd(), "relative") });
    expect(env).not.toHaveProperty("SECRET_OF_A_SHELL");
    expect(env).not.toHaveProperty("MSB_API_KEY");
    expect(cwd).toBe("/");
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    const [, , , session] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    expect(session).toBe(String(pid));
  });

  it("that fails says why with the code of the cause", async () => {
    const { msb, paths } = await machine("fails");
    const { exitCode, stdout, stderr } = await msb("start", "-d");
    expect(stderr.replace(STILL_STARTING, "")).toBe(
      "msb-ts: No microVM can run here. (MSB_ERR_KVM_UNAVAILABLE)\n",
    );
    expect([exitCode, stdout]).toEqual([69, ""]);
    expect(await findServer(paths)).toEqual({ state: "none" });
  });

  it("that dies without a word is told with the end of its log", async () => {
    const { msb, paths } = await machine("dies");
    const { exitCode, stderr } = await msb("start", "-d");
    expect(stderr).toMatch(
      /ended before it served.*\n[\d:.]+ INFO {2}launching\n\(MSB_ERR_SERVER_FAILED\)\n$/,
    );
    expect(exitCode).toBe(70);
    expect(await findServer(paths)).toEqual({ state: "none" });
  });

  it.each(["SIGTERM", "SIGKILL"] as const)(
    "is not left half-started when its start gets %s",
    async (signal) => {
      const { argv, env, paths, events } = await machine("slow-start");
      const child = spawn(process.execPath, argv(["start", "-d"]).slice(1), {
        env: { ...process.env, ...env },
        stdio: "ignore",
      });
      await expect.poll(events).toHaveLength(1);
      child.kill(signal);
      await once(child, "exit");
      await expect.poll(() => findServer(paths)).toEqual({ state: "none" });
      expect(await events()).toContain("launch undone");
    },
  );

  it("is followed by logs -f until Ctrl-C", async () => {
    const { argv, env, msb, running } = await machine();
    await msb("start", "-d");
    const { url } = await running();
    const calls = setInterval(() => void fetch(`${url}/slow/1`).catch(() => {}), 300);
    onTestFinished(() => clearInterval(calls));
    const { exitCode, stdout } = await runInTerminal(argv(["logs", "-f", "-n", "0"]), {
      env,
      answers: [["/slow/1", "\u0003"]],
    });
    expect(stdout).toContain("GET /slow/1");
    expect(exitCode).toBe(130);
  });

  it("is killed by stop --force when it does not end, and its place is free", async () => {
    const { msb, running } = await machine("stubborn");
    await msb("start", "-d");
    const { pid } = await running();
    const forced = await msb("stop", "--timeout", "1", "--force");
    expect(forced).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^Killed/) });
    expect(await isRunning(pid)).toBe(false);
    expect((await msb("start", "-d")).exitCode).toBe(0);
  });

  it("that does not end is told after a time, and ended at once when it is stopped again", async () => {
    const { msb, running } = await machine("stubborn");
    await msb("start", "-d");
    const { pid } = await running();
    const patient = await msb("stop", "--timeout", "1");
    expect(patient.stderr).toContain("(MSB_ERR_REQUEST_TIMEOUT)");
    expect(await isRunning(pid)).toBe(true);
    expect((await msb("stop")).exitCode).toBe(0);
    expect(await isRunning(pid)).toBe(false);
  });
});

describe("a second start", () => {
  it("of the same address and mode is a notice, any other an error", async () => {
    const { msb, running } = await machine();
    await msb("start", "-d");
    const { pid, address } = await running();
    const port = address!.split(":")[1]!;
    for (const words of [
      ["start", "--port", port],
      ["start", "-d", "--port", port],
    ]) {
      expect(await msb(...words)).toMatchObject({
        exitCode: 0,
        stdout: `A server runs already: http://${address}, process ${pid}\n`,
      });
    }
    for (const words of [["start"], ["start", "-d", "--dev", "--port", port]]) {
      const { exitCode, stderr } = await msb(...words);
      expect(stderr).toContain("(MSB_ERR_SERVER_RUNNING)");
      expect(exitCode).toBe(75);
    }
  });

  it("after kill -9 takes the place, whatever the files say", async () => {
    const { msb, running, paths } = await machine();
    await msb("start", "-d");
    const { pid } = await running();
    process.kill(pid, "SIGKILL");
    await expect.poll(() => isRunning(pid)).toBe(false);
    expect((await msb("status")).exitCode).toBe(3);
    expect((await msb("stop")).exitCode).toBe(69);
    // Another process now has the number.
    const text = await readFile(paths.serverFile, "utf8");
    await writeFile(paths.serverFile, text.replace(`"pid": ${pid}`, `"pid": ${process.pid}`));
    expect((await msb("stop")).exitCode).toBe(69);
    expect((await msb("start", "-d")).exitCode).toBe(0);
    expect((await running()).pid).not.toBe(pid);
  });

  it("on a port that is taken names --port", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void other.close());
    await once(other, "listening");
    const { port } = other.address() as { port: number };
    const { msb } = await machine();
    for (const detach of [[], ["-d"]]) {
      const { exitCode, stderr } = await msb("start", "--port", String(port), ...detach);
      expect(stderr.trimEnd().split("\n").at(-1)).toMatch(/--port.*\(MSB_ERR_ADDRESS_IN_USE\)$/);
      expect(exitCode).toBe(75);
    }
  });
});

describe("a server in the foreground", () => {
  it("ends well with Ctrl-C, and logs lines to its terminal", async () => {
    const { argv, env, events } = await machine();
    const { exitCode, stdout } = await runInTerminal(argv(["start", "--dev"]), {
      env,
      answers: [["development mode", "\u0003"]],
    });
    expect(stdout).toMatch(
      /Server listening on 127\.0\.0\.1:\d+\r\nRunning in development mode\r\n/,
    );
    expect(stdout).toMatch(/INFO {2}The server has stopped/);
    expect(exitCode).toBe(0);
    expect(await events()).toEqual(["launch reset=false driver=auto", "close stop"]);
  });

  it("lets requests end after SIGTERM, and does with sandboxes as it was told", async () => {
    const { serve, running, events } = await machine();
    const server = serve("--shutdown", "detach");
    await server.ready();
    const { url } = await running();
    const answer = fetch(`${url}/slow/700`);
    await expect.poll(events).toContain("slow begins");
    server.child.kill("SIGTERM");
    expect((await answer).status).toBe(200);
    expect(await server.exited).toEqual([0, null]);
    expect((await events()).slice(1)).toEqual(["slow begins", "slow ends", "close detach"]);
  });

  it("is ended at once by a second signal", async () => {
    const { serve, events, paths } = await machine("stubborn");
    const server = serve();
    await server.ready();
    server.child.kill("SIGINT");
    await expect.poll(events).toContain("close stop");
    server.child.kill("SIGINT");
    expect(await server.exited).toEqual([130, null]);
    expect(await findServer(paths)).toEqual({ state: "none" });
  });

  it("that is stopped while it starts undoes its start", async () => {
    const { serve, events, paths } = await machine("slow-start");
    const server = serve();
    await expect.poll(events).toHaveLength(1);
    server.child.kill("SIGTERM");
    expect(await server.exited).toEqual([143, null]);
    expect(await events()).toEqual(["launch reset=false driver=auto", "launch undone"]);
    expect(await findServer(paths)).toEqual({ state: "none" });
  });

  it("goes on after a hang-up when it has no terminal", async () => {
    const { serve, running } = await machine();
    const server = serve();
    await server.ready();
    server.child.kill("SIGHUP");
    const { url } = await running();
    expect((await fetch(`${url}/slow/100`)).status).toBe(200);
    server.child.kill("SIGTERM");
    expect(await server.exited).toEqual([0, null]);
  });

  it("has no log to show elsewhere", async () => {
    const { serve, msb } = await machine();
    const server = serve();
    await server.ready();
    expect(await msb("logs")).toMatchObject({
      exitCode: 75,
      stderr: expect.stringContaining("in the foreground"),
    });
  });
});

describe("an error that nobody catches", () => {
  it("is in the log, ends the server, and leaves sandboxes to the next one", async () => {
    const { msb, running, events, paths } = await machine();
    await msb("start", "-d");
    const { url, pid } = await running();
    await fetch(`${url}/crash`).catch(() => {});
    await expect.poll(() => isRunning(pid)).toBe(false);
    const { stdout } = await msb("logs");
    expect(stdout).toMatch(/FATAL The server ends.* thrown where nobody catches\n {4}at /);
    expect(await events()).toEqual(["launch reset=false driver=auto"]);
    expect(await findServer(paths)).toEqual({ state: "none" });
  });
});
