/** `/mcp`: the Model Context Protocol over plain POST, without sessions and without streams. */
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import { Type } from "@sinclair/typebox";
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from "fastify";
import type { SandboxService } from "../../sandbox/service.js";
import { abortable } from "../../util/async.js";
import { clientGone } from "../streams/client-gone.js";
import { mcpServer } from "./mcp-server.js";
import { TOOLS } from "./tools.js";

export interface McpRoutesOpts {
  readonly sandboxes: SandboxService;
  readonly serverVersion: string;
  readonly maxOutputBytes: number;
}

const VERSION_HEADER = "mcp-protocol-version";
/** The first version of the protocol, and the only one of the old server. */
const FIRST_VERSION = "2024-11-05";

const SCHEMA: FastifySchema = {
  summary: "The Model Context Protocol: one message or a batch, answered as JSON",
  description: `Tools: ${TOOLS.map(({ name }) => name).join(", ")}. There are no sessions and no streams.`,
  tags: ["mcp"],
  response: {
    200: Type.Unknown({ description: "A response of JSON-RPC 2.0, also for a tool that failed" }),
    202: Type.Null({ description: "Notifications alone: nothing" }),
  },
};

/**
 * No stream is offered for a GET and there is no session to DELETE: those are refused as everywhere, with 405.
 *
 * The web standard's form of the SDK's transport is used, because it gives an answer back instead of writing it to the
 * socket: so hooks, logs and limits of the application hold here as for any other route.
 */
export async function mcpRoutes(app: FastifyInstance, opts: McpRoutesOpts): Promise<void> {
  app.post("/mcp", { schema: SCHEMA }, async (request, reply) => {
    const response = await answer(request, reply, opts);
    reply.code(statusFor(response.status, request));
    const type = response.headers.get("content-type");
    if (type !== null) reply.type(type);
    return reply.send(await response.text());
  });
}

async function answer(
  request: FastifyRequest,
  reply: FastifyReply,
  { sandboxes, serverVersion, maxOutputBytes }: McpRoutesOpts,
): Promise<Response> {
  const transport = new WebStandardStreamableHTTPServerTransport({ enableJsonResponse: true });
  const server = mcpServer(serverVersion, {
    sandboxes,
    maxOutputBytes,
    principal: request.principal,
    onInternalError: (error) => {
      request.log.error({ err: error }, "A tool failed in a way nobody thought of.");
      return `something is wrong in the server; its log has the cause under request ${request.id}.`;
    },
    onError: (error) => request.log.debug({ err: error }, "MCP request"),
  });
  await server.connect(transport);
  try {
    return await abortable(
      transport.handleRequest(webRequest(request), { parsedBody: request.body ?? null }),
      clientGone(reply),
      "The MCP request",
    );
  } finally {
    // Ends what still runs for this request: nobody would get the answer.
    await server.close();
  }
}

/**
 * The request as the transport wants to see it; its body was read before. Clients of the old server accept JSON alone
 * or say nothing, and get JSON here whatever they accept.
 */
function webRequest(request: FastifyRequest): Request {
  const headers = new Headers({
    accept: "application/json, text/event-stream",
    "content-type": "application/json",
  });
  const version = request.headers[VERSION_HEADER];
  if (typeof version === "string") headers.set(VERSION_HEADER, version);
  return new Request("http://localhost/mcp", { method: "POST", headers });
}

/** Notifications are accepted with 202, which came with the second version; the first knew only 200. */
function statusFor(status: number, request: FastifyRequest): number {
  return status === 202 && request.headers[VERSION_HEADER] === FIRST_VERSION ? 200 : status;
}
