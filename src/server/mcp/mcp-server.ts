/** The Model Context Protocol of this server, for one request: the SDK's server with our tools and prompts. */
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { AjvJsonSchemaValidator } from "@modelcontextprotocol/sdk/validation/ajv";
import { type Static, Type } from "@sinclair/typebox";
import { callTool, type ToolContext } from "./call-tool.js";
import { checked } from "./check.js";
import { getPrompt, PROMPTS } from "./prompts.js";
import { methodNotFound } from "./rpc-error.js";
import { TOOLS } from "./tools.js";

const INSTRUCTIONS =
  "Sandboxes are small virtual machines of their own, for code that nobody has to trust. Start one with sandbox_start, " +
  "run code or commands in it, look at its files with commands, and stop it when it is not needed any more. A " +
  "sandbox is named by its namespace and its name; use the namespace default unless told otherwise.";

const NamedParams = Type.Object({
  name: Type.String(),
  arguments: Type.Optional(Type.Unknown()),
});

// It is for what a server asks of its client. Ours asks nothing, and need not make one for each request.
const VALIDATOR = new AjvJsonSchemaValidator();

/**
 * Negotiates the version itself, from the current one down to 2024-11-05. Our methods are handled as they come, not
 * through schemas of the SDK, whose failures would be internal errors; a wrong request is -32602 here.
 */
export function mcpServer(
  version: string,
  context: Omit<ToolContext, "signal"> & { readonly onError: (error: Error) => void },
): Server {
  const server = new Server(
    { name: "msb-ts", title: "msb-ts sandboxes", version },
    {
      capabilities: { tools: { listChanged: false }, prompts: { listChanged: false } },
      instructions: INSTRUCTIONS,
      jsonSchemaValidator: VALIDATOR,
    },
  );
  server.fallbackRequestHandler = async ({ method, params }, { signal }) => {
    switch (method) {
      case "tools/list":
        return { tools: [...TOOLS] };
      case "prompts/list":
        return { prompts: [...PROMPTS] };
      case "tools/call": {
        const call = named(method, params);
        return await callTool(call.name, call.arguments, { ...context, signal });
      }
      case "prompts/get": {
        const call = named(method, params);
        return getPrompt(call.name, call.arguments);
      }
      default:
        throw methodNotFound(method);
    }
  };
  // There are no sessions, so an id says nothing of requests that came before; within a batch a cancelled request
  // would have no answer, and the batch none either. Who does not want an answer any more closes the connection.
  server.removeNotificationHandler("notifications/cancelled");
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the SDK has no other way
  server.onerror = context.onError;
  return server;
}

function named(method: string, params: unknown): Static<typeof NamedParams> {
  return checked(NamedParams, params ?? {}, `Parameters of ${method}`);
}
