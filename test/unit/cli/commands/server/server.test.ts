import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fastify } from "fastify";
import { describe, expect, it } from "vitest";
import { stopReason } from "../../../../../src/cli/error-report.js";
import { FileLock } from "../../../../../src/native/file-lock.js";
import { msbPaths } from "../../../../../src/paths.js";
import { verifyApiKey } from "../../../../../src/server/auth/api-key.js";
import { ServerKey } from "../../../../../src/server/auth/server-key.js";
import { serve } from "../../../../../src/server/process/serve.js";
import type { ServerSettings } from "../../../../../src/config.js";
import { cli, NOW_MS } from "../../../../helpers/cli.js";
import { tempDir } from "../../../../helpers/temp-dir.js";

async function home(): Promise<{ path: string; env: { MSB_HOME: string } }> {
  const path = join(await tempDir(), "home");
  return { path, env: { MSB_HOME: path } };
}

/** Starts nothing but a listener, and is stopped when it is there. */
function stoppedWhenReady(seen: ServerSettings[] = []) {
  const stop = new AbortController();
  return {
    signal: stop.signal,
    server: async (settings: ServerSettings, opts: Parameters<typeof serve>[1]) => {
      seen.push(settings);
      const server = await serve(settings, opts, async () => ({
        app: fastify(),
        close: async () => {},
      }));
      setTimeout(() => stop.abort(stopReason("SIGTERM")), 20);
      return server;
    },
  };
}

describe("server start", () => {
  it("says where it listens, and ends well when it is stopped", async () => {
    const { env } = await home();
    const { exitCode, stdout, stderr } = await cli(["server", "start", "--port", "0"], {
      env,
      ...stoppedWhenReady(),
    });
    expect(stdout).toMatch(/^Server listening on 127\.0\.0\.1:\d+\n$/);
    const log = stderr
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(log.at(-1)).toMatchObject({ level: "info", msg: "The server has stopped" });
    expect(exitCode).toBe(0);
  });

  it("says that it is in development mode, and logs lines to a terminal", async () => {
    const { env } = await home();
    const { stdout, stderr } = await cli(["server", "start", "--dev", "--port=0"], {
      env,
      terminals: ["stderr"],
      ...stoppedWhenReady(),
    });
    expect(stdout).toMatch(/^Server listening on \S+\nRunning in development mode\n$/);
    expect(stderr).toMatch(/INFO {2}The server has stopped\n$/);
  });

  it("is one JSON document with --json, and logs JSON with --json-logs", async () => {
    const { env } = await home();
    const words = ["server", "start", "--json", "--json-logs", "--port=0"];
    const { stdout, stderr } = await cli(words, {
      env,
      terminals: ["stderr"],
      ...stoppedWhenReady(),
    });
    expect(JSON.parse(stdout)).toMatchObject({
      pid: process.pid,
      url: expect.stringMatching(/^http:/),
      dev: false,
      logFile: null,
    });
    expect(stderr).toMatch(/^\{"level":"info"/);
  });

  it("hands every option on", async () => {
    const { path, env } = await home();
    const seen: ServerSettings[] = [];
    const words =
      `server start --host ::1 --port 0 -p ${path}/other --key-file k --hypervisor qemu --shutdown detach ` +
      "--allow-host a.example --allow-host b.example --cors-origin * --max-sandboxes 1 --memory-budget-mib 2 " +
      "--vcpu-budget 3 --max-concurrent-boots 4 --max-templates 2 --warm-guests 3 --max-body-mib 5 --max-output-mib 6 --idle-timeout-ms 7 " +
      "--max-lifetime-ms 8 --boot-timeout-ms 9000 --lease-ms 10000 --log-level debug";
    const { exitCode } = await cli(words.split(" "), { env, ...stoppedWhenReady(seen) });
    expect(exitCode).toBe(0);
    expect(seen).toMatchObject([
      {
        host: "::1",
        port: 0,
        isDev: false,
        keyFile: join(process.cwd(), "k"),
        http: {
          allowedHosts: ["a.example", "b.example"],
          corsOrigins: ["*"],
          maxBodyBytes: 5 * 1024 ** 2,
          maxOutputBytes: 6 * 1024 ** 2,
        },
        budget: { sandboxes: 1, memoryMiB: 2, vcpus: 3 },
        maxConcurrentBoots: 4,
        maxTemplates: 2,
        warmGuests: 3,
        idleTimeoutMs: 7,
        maxLifetimeMs: 8,
        bootTimeoutMs: 9_000,
        leaseMs: 10_000,
        logLevel: "debug",
        shutdown: "detach",
        hypervisor: { hypervisor: "qemu" },
      },
    ]);
    expect(await readFile(join(path, "other", "server.lock"), "utf8")).toBe("");
  });

  it("refuses a key among its words, and does not repeat it", async () => {
    const { env } = await home();
    for (const words of [
      ["--key", "s3cret"],
      ["-k", "s3cret"],
    ]) {
      const { exitCode, stderr } = await cli(["server", "start", ...words], { env });
      expect(stderr).toContain("--key-file");
      expect(stderr).not.toContain("s3cret");
      expect(exitCode).toBe(2);
    }
  });

  it("refuses a name for an address", async () => {
    const { exitCode, stderr } = await cli(["server", "start", "--host", "localhost"]);
    expect(stderr).toContain('host (MSB_HOST) cannot be "localhost": use 127.0.0.1');
    expect(exitCode).toBe(2);
  });
});

describe("without a server", () => {
  it("status says so with exit code 3", async () => {
    const { env } = await home();
    const text = await cli(["server", "status"], { env });
    expect(text).toMatchObject({
      exitCode: 3,
      stdout: "The server is not running.\n",
      stderr: "",
    });
    const json = await cli(["server", "status", "--json"], { env });
    expect(JSON.parse(json.stdout)).toEqual({ running: false, state: "none", sandboxes: null });
    expect(json.exitCode).toBe(3);
  });

  it("stop is an error with a code of its own", async () => {
    const { env } = await home();
    const { exitCode, stderr } = await cli(["server", "stop"], { env });
    expect(stderr).toContain("(MSB_ERR_SERVER_NOT_RUNNING)");
    expect(exitCode).toBe(69);
  });

  it("logs are those of the last one in the background, if there was one", async () => {
    const { path, env } = await home();
    expect(await cli(["server", "logs"], { env })).toMatchObject({
      exitCode: 66,
      stderr: expect.stringContaining("--detach"),
    });
    await mkdir(path);
    const line = '{"level":"warn","time":"x","msg":"hm\\u0007"}';
    await writeFile(join(path, "server.log"), `early\u0007\n${line}\n`);
    expect((await cli(["server", "logs"], { env })).stdout).toBe("early\ufffd\n- WARN  hm\ufffd\n");
    expect((await cli(["server", "logs", "-n", "1"], { env })).stdout).toBe("- WARN  hm\ufffd\n");
    const json = (await cli(["server", "logs", "--json"], { env })).stdout.trimEnd().split("\n");
    expect(json.map((entry) => JSON.parse(entry).level)).toEqual(["error", "warn"]);
  });

  it.each([
    ["-n", "x"],
    ["-n", "-1"],
  ])("logs refuse %s %s", async (...words) => {
    expect((await cli(["server", "logs", ...words])).exitCode).toBe(2);
  });
});

describe("a server that cannot be seen", () => {
  it("is not stopped, and its status says so", async () => {
    const { path, env } = await home();
    await mkdir(path);
    await using _held = await FileLock.acquire(msbPaths(path).serverLock, "exclusive");
    expect(await cli(["server", "stop"], { env })).toMatchObject({
      exitCode: 75,
      stderr: expect.stringContaining("MSB_ERR_INVALID_STATE"),
    });
    expect(await cli(["server", "status"], { env })).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining("cannot be seen"),
    });
    const { server } = stoppedWhenReady();
    expect(await cli(["server", "start"], { env, server })).toMatchObject({ exitCode: 75 });
  });
});

describe("server keygen", () => {
  const keygen = (env: Record<string, string>, ...words: string[]) =>
    cli(["server", "keygen", ...words], { env });

  it("makes a key that the server takes", async () => {
    const { path, env } = await home();
    const { exitCode, stdout, stderr } = await keygen(env);
    expect(stdout).toMatch(
      /^Token: msb_\S+\nExpires: 2026-01-23T00:00:00Z\nNamespace: \*\nId: \S+\n$/,
    );
    expect([exitCode, stderr]).toEqual([0, ""]);
    const token = /Token: (\S+)/.exec(stdout)![1]!;
    const serverKey = await ServerKey.open(msbPaths(path));
    const now = new Date(NOW_MS);
    expect(await verifyApiKey(serverKey, token, { now })).toMatchObject({ namespace: "*" });
  });

  it("makes one for a namespace and a time, in JSON", async () => {
    const { env } = await home();
    const { stdout } = await keygen(env, "--json", "-n", "team-a", "--expire", "30d");
    expect(JSON.parse(stdout)).toEqual({
      token: expect.stringMatching(/^msb_/),
      expiresAt: "2026-02-21T00:00:00Z",
      namespace: "team-a",
      id: expect.any(String),
    });
  });

  it("takes a key back, and lists what was taken back", async () => {
    const { env } = await home();
    const far = ["--expire", "50y"];
    const { id } = JSON.parse((await keygen(env, "--json", ...far)).stdout) as { id: string };
    expect((await keygen(env, "--revoke", id)).stdout).toBe(`Revoked ${id}\n`);
    const listed = JSON.parse((await keygen(env, "--list-revoked", "--json")).stdout);
    expect(listed).toMatchObject([{ id }]);
    expect((await keygen(env, "--list-revoked")).stdout).toContain(id);
  });

  it("signs with the key in a file", async () => {
    const { path, env } = await home();
    await mkdir(path);
    const file = join(path, "own.key");
    await writeFile(file, "x".repeat(40), { mode: 0o600 });
    for (const words of [["--key-file", file], []]) {
      const { stdout } = await keygen({ ...env, MSB_KEY_FILE: file }, "--json", ...words);
      const serverKey = await ServerKey.open(msbPaths(path), { keyFile: file });
      const { token } = JSON.parse(stdout) as { token: string };
      await verifyApiKey(serverKey, token, { now: new Date(NOW_MS) });
    }
    const missing = await keygen(env, "--key-file", join(path, "none"));
    expect(missing.stderr).toContain("(MSB_ERR_KEY_FILE_INVALID)");
  });

  it.each([
    [["--expire", "soon"], "lifetime"],
    [["-n", "a b"], "namespace"],
    [["--revoke", "x"], "cannot be revoked"],
    [["--revoke", "x", "--expire", "1h"], "do not go together"],
    [["--revoke", "x", "--list-revoked"], "do not go together"],
  ])("refuses %j", async (words, message) => {
    const { env } = await home();
    const { exitCode, stdout, stderr } = await keygen(env, ...words);
    expect(stderr).toContain(message);
    expect([exitCode, stdout]).toEqual([2, ""]);
  });
});
