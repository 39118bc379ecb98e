/** `/mcp` on a listening server, with sandboxes of the test. */
import type { AddressInfo } from "node:net";
import Fastify, { type FastifyInstance } from "fastify";
import { onTestFinished } from "vitest";
import type { SandboxService } from "../../src/sandbox/service.js";
import { ANY_NAMESPACE, type Authenticator } from "../../src/server/auth/authenticator.js";
import { mcpRoutes } from "../../src/server/mcp/routes.js";
import { authPlugin } from "../../src/server/plugins/auth.js";
import { handleUnknownRoutes } from "../../src/server/plugins/unknown-routes.js";
import { type ScriptedSandboxes, scriptedSandboxes } from "./scripted-sandboxes.js";

export interface McpApp {
  readonly app: FastifyInstance;
  readonly url: string;
  readonly sandboxes: ScriptedSandboxes;
  /** POSTs `body`; text is sent as it is. `headers` replace the usual ones. */
  post(body: unknown, headers?: Record<string, string>): Promise<Response>;
  /** The whole JSON-RPC answer to one request. */
  call(method: string, params?: unknown): Promise<Record<string, unknown>>;
}

export async function startMcpApp(
  methods: Partial<SandboxService> = {},
  opts: {
    /** Of the key that every request has, unless there is an authenticator. */
    readonly namespace?: string;
    readonly authenticator?: Authenticator;
    /** Called before anything is registered. */
    readonly prepare?: (app: FastifyInstance) => void;
  } = {},
): Promise<McpApp> {
  const sandboxes = scriptedSandboxes(methods);
  const { namespace = ANY_NAMESPACE, prepare } = opts;
  const authenticator = opts.authenticator ?? {
    authenticate: async () => ({ namespace, keyId: null }),
  };
  const app = Fastify();
  prepare?.(app);
  const handleOtherMethods = handleUnknownRoutes(app);
  await app.register(authPlugin, { authenticator });
  await app.register(mcpRoutes, { sandboxes, serverVersion: "1.2.3", maxOutputBytes: 1_000_000 });
  handleOtherMethods();
  await app.listen({ host: "127.0.0.1", port: 0 });
  onTestFinished(async () => {
    app.server.closeAllConnections();
    await app.close();
  });
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/mcp`;
  const post: McpApp["post"] = (body, headers = { "content-type": "application/json" }) =>
    fetch(url, {
      method: "POST",
      headers,
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  return {
    app,
    url,
    sandboxes,
    post,
    call: async (method, params) => {
      const response = await post({ jsonrpc: "2.0", id: 7, method, params });
      return (await response.json()) as Record<string, unknown>;
    },
  };
}
