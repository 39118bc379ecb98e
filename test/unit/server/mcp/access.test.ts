/** Keys, origins and MCP together, as the server has them. */
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { expect, onTestFinished, test } from "vitest";
import { ERROR_CODES, MsbError } from "../../../../src/errors.js";
import { msbPaths } from "../../../../src/paths.js";
import { issueApiKey } from "../../../../src/server/auth/api-key.js";
import { KeyAuthenticator } from "../../../../src/server/auth/key-authenticator.js";
import { revokeKey } from "../../../../src/server/auth/revocations.js";
import { ServerKey } from "../../../../src/server/auth/server-key.js";
import { originGuard } from "../../../../src/server/plugins/origin-guard.js";
import { startMcpApp } from "../../../helpers/mcp-app.js";
import { fakeSandbox } from "../../../helpers/fake-sandboxes.js";
import { tempDir } from "../../../helpers/temp-dir.js";

async function guarded() {
  const paths = msbPaths(await tempDir());
  const serverKey = await ServerKey.open(paths);
  const mcp = await startMcpApp(
    { stop: async (key) => fakeSandbox(key) },
    {
      authenticator: new KeyAuthenticator(serverKey, paths),
      prepare: (app) => {
        app.setErrorHandler((error, _request, reply) =>
          error instanceof MsbError
            ? reply.code(ERROR_CODES[error.code].httpStatus).send(error.toJSON())
            : reply.send(error),
        );
        void app.register(originGuard, { allowedHosts: [], corsOrigins: [], isDevMode: false });
      },
    },
  );
  const issue = (namespace: string) => issueApiKey(serverKey, { namespace, lifetimeS: 60 });
  return { ...mcp, paths, issue };
}

async function connect(url: string, key: string): Promise<Client> {
  const client = new Client({ name: "test", version: "1" });
  const requestInit = { headers: { authorization: `Bearer ${key}` } };
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  onTestFinished(() => client.close());
  return client;
}

test("a client with a key of a namespace may do everything there, and nothing elsewhere", async () => {
  const { url, issue, sandboxes } = await guarded();
  const { key } = await issue("mine");
  const client = await connect(url, key);
  expect((await client.listTools()).tools).toHaveLength(5);
  const stop = (namespace: string) =>
    client.callTool({ name: "sandbox_stop", arguments: { sandbox: "n1", namespace } });
  expect((await stop("mine")).isError).toBeUndefined();
  expect((await stop("other")).isError).toBe(true);
  expect(sandboxes.calls).toEqual([["stop", { namespace: "mine", name: "n1" }]]);
});

test("a namespace beside the arguments opens nothing", async () => {
  const { post, issue, sandboxes } = await guarded();
  const { key } = await issue("mine");
  const params = {
    name: "sandbox_stop",
    namespace: "mine",
    arguments: { sandbox: "n1", namespace: "other" },
  };
  const response = await post(
    { jsonrpc: "2.0", id: 1, method: "tools/call", params },
    { "content-type": "application/json", authorization: key },
  );
  expect(await response.json()).toMatchObject({ result: { isError: true } });
  expect(sandboxes.calls).toEqual([]);
});

test("without a key, with a revoked one, and for another page there is no MCP", async () => {
  const { url, post, issue, paths } = await guarded();
  const { key, keyId } = await issue("*");
  const ping = { jsonrpc: "2.0", id: 1, method: "ping" };
  const headers = { "content-type": "application/json", authorization: `Bearer ${key}` };
  expect((await post(ping, headers)).status).toBe(200);
  expect((await post(ping, { ...headers, origin: "https://evil.example" })).status).toBe(403);
  expect((await post(ping)).status).toBe(401);
  for (const method of ["GET", "DELETE"]) {
    expect((await fetch(url, { method })).status).toBe(401);
  }
  await revokeKey(paths, keyId);
  expect((await post(ping, headers)).status).toBe(401);
  await expect(connect(url, key)).rejects.toThrow(/401|nauthorized|expired/);
});
