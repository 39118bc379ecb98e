import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { FileLock } from "../../../src/native/file-lock.js";
import { msbPaths } from "../../../src/paths.js";
import { verifyApiKey } from "../../../src/server/auth/api-key.js";
import type { Authenticator } from "../../../src/server/auth/authenticator.js";
import { ServerKey } from "../../../src/server/auth/server-key.js";
import { ServerLock } from "../../../src/server/process/server-lock.js";
import { cli } from "../../helpers/cli.js";
import { sandboxCli } from "../../helpers/sandbox-cli.js";
import { tempDir } from "../../helpers/temp-dir.js";
import { listeningApp, NAMESPACE_KEYS } from "../../helpers/test-app.js";

const PS = ["ps", "-q"];

/** An MSB_HOME whose server is an application on sandboxes in memory, with one that is called `mine`. */
async function homeWithServer(opts: { isDev: boolean }) {
  const path = join(await tempDir(), "home");
  const paths = msbPaths(path);
  const seen: string[] = [];
  const authenticator: Authenticator = {
    async authenticate({ authorization = "" }) {
      seen.push(authorization);
      const serverKey = await ServerKey.open(paths);
      return { ...(await verifyApiKey(serverKey, authorization.slice("Bearer ".length))) };
    },
  };
  const { port, sandboxes } = await listeningApp(opts.isDev ? {} : { authenticator });
  sandboxes.add("default", "mine");
  const lock = await ServerLock.acquire(paths, {
    isDev: opts.isDev,
    version: "1.2.3",
    logFile: null,
    keyFile: null,
  });
  onTestFinished(() => lock[Symbol.asyncDispose]());
  const announce = () =>
    lock.announce({ address: `127.0.0.1:${port}`, url: `http://127.0.0.1:${port}` });
  return { path, env: { MSB_HOME: path }, seen, announce };
}

async function foreignServer(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await new Promise((resolve) => server.once("listening", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("the server of MSB_HOME", () => {
  it("is talked to with a key that its own files make", async () => {
    const { env, seen, announce } = await homeWithServer({ isDev: false });
    await announce();
    expect(await cli(PS, { env })).toMatchObject({ exitCode: 0, stdout: "mine\n", stderr: "" });
    expect(seen).toEqual([expect.stringMatching(/^Bearer msb_/)]);
  });

  it("in development mode needs no key, and none is made", async () => {
    const { env, path, announce } = await homeWithServer({ isDev: true });
    await announce();
    expect(await cli(PS, { env })).toMatchObject({ exitCode: 0, stdout: "mine\n" });
    await expect(
      import("node:fs/promises").then(({ stat }) => stat(join(path, "server.key"))),
    ).rejects.toThrow("ENOENT");
  });

  it("gets the key in MSB_API_KEY when there is one, also a wrong one", async () => {
    const { env, announce } = await homeWithServer({ isDev: false });
    await announce();
    const { exitCode, stderr } = await cli(PS, { env: { ...env, MSB_API_KEY: "msb_wrong" } });
    expect(stderr).toMatch(/\(MSB_ERR_UNAUTHENTICATED\)\nTry: MSB_API_KEY=KEY .* keygen\n$/);
    expect(exitCode).toBe(77);
  });

  it("that is still starting is not there yet", async () => {
    const { env } = await homeWithServer({ isDev: false });
    const { exitCode, stderr } = await cli(PS, { env });
    expect(stderr).toMatch(/is still starting.*\(MSB_ERR_SERVER_NOT_RUNNING\)/);
    expect(exitCode).toBe(69);
  });

  it("that cannot be seen has to be named", async () => {
    const path = join(await tempDir(), "home");
    await mkdir(path);
    await using _held = await FileLock.acquire(msbPaths(path).serverLock, "exclusive");
    const { exitCode, stderr } = await cli(PS, { env: { MSB_HOME: path } });
    expect(stderr).toMatch(/--server-url.*\(MSB_ERR_SERVER_UNREACHABLE\)/);
    expect(exitCode).toBe(69);
  });

  it.each([
    ["ps"],
    ["top"],
    ["create", "python"],
    ["start", "a"],
    ["stop", "a"],
    ["rm", "--all"],
    ["code", "a", "-c", "1"],
    ["logs", "a"],
    ["metrics", "a"],
  ])("that does not run is missed, with what starts it: %s", async (...words) => {
    const env = { MSB_HOME: join(await tempDir(), "home") };
    const text = await cli(words, { env });
    expect(text.stderr).toMatch(
      /^msb-ts: No server works with .*`msb-ts server start --detach`.*\(MSB_ERR_SERVER_NOT_RUNNING\)\n$/,
    );
    expect([text.exitCode, text.stdout]).toEqual([69, ""]);
    const json = await cli([...words, "--json"], { env });
    expect(JSON.parse(json.stderr).error).toMatchObject({
      code: "MSB_ERR_SERVER_NOT_RUNNING",
      details: { home: env.MSB_HOME },
    });
  });
});

describe("a server that was named", () => {
  it("is that of --server-url, else that of MSB_SERVER_URL, before that of MSB_HOME", async () => {
    const { env, announce } = await homeWithServer({ isDev: false });
    await announce();
    const named = await sandboxCli();
    named.sandboxes.add("default", "other");
    const url = named.env["MSB_SERVER_URL"]!;
    expect((await cli([...PS, "--server-url", url], { env })).stdout).toBe("other\n");
    expect((await cli(PS, { env: { ...env, MSB_SERVER_URL: url } })).stdout).toBe("other\n");
  });

  it("gets the key in MSB_API_KEY", async () => {
    const { run, sandboxes } = await sandboxCli({ authenticator: NAMESPACE_KEYS });
    sandboxes.add("team", "box");
    const { exitCode, stdout } = await run(PS, { env: { MSB_API_KEY: "msb_team" } });
    expect([exitCode, stdout]).toEqual([0, "team/box\n"]);
  });

  it.each([undefined, "nonsense", "msb_"])("refuses the key %j with a hint", async (key) => {
    const { run } = await sandboxCli({ authenticator: NAMESPACE_KEYS });
    const env = key === undefined ? {} : { MSB_API_KEY: key };
    const { exitCode, stderr } = await run(PS, { env });
    expect(stderr).toMatch(/\(MSB_ERR_UNAUTHENTICATED\)\nTry: MSB_API_KEY=KEY/);
    expect(exitCode).toBe(77);
  });

  it("lets a key do nothing in another namespace", async () => {
    const { run } = await sandboxCli({ authenticator: NAMESPACE_KEYS });
    const { exitCode, stderr } = await run(["stop", "other/box"], {
      env: { MSB_API_KEY: "msb_team" },
    });
    expect(stderr).toContain("(MSB_ERR_ACCESS_DENIED)");
    expect(exitCode).toBe(77);
  });

  it("that is not there is unreachable", async () => {
    const url = await foreignServer(() => {});
    const port = Number(new URL(url).port);
    const { exitCode, stderr } = await cli([...PS, "--server-url", "http://127.0.0.1:1"]);
    expect(port).toBeGreaterThan(0);
    expect(stderr).toContain("(MSB_ERR_SERVER_UNREACHABLE)");
    expect(exitCode).toBe(69);
  });

  it.each([
    [
      "an old one",
      404,
      "application/json",
      '{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"}}',
    ],
    ["a web site", 200, "text/html", "<html></html>"],
  ])("that is %s is not understood", async (_what, status, type, body) => {
    const url = await foreignServer((_request, response) => {
      response.writeHead(status, { "content-type": type }).end(body);
    });
    const { exitCode, stderr } = await cli([...PS, "--server-url", url]);
    expect(stderr).toMatch(/no msb-ts server .*\(MSB_ERR_SERVER_INCOMPATIBLE\)/);
    expect(exitCode).toBe(76);
  });

  it("must have an address", async () => {
    const { exitCode, stderr } = await cli([...PS, "--server-url", "box:5555"]);
    expect(stderr).toContain("(MSB_ERR_INVALID_ARGUMENT)");
    expect(exitCode).toBe(2);
  });
});
