/** POST /api/v1/rpc: the endpoint that clients of the old server use. */
import { Type } from "@sinclair/typebox";
import type { FastifyRequest } from "fastify";
import { MsbError } from "../../errors.js";
import type { App, ServerContext } from "../context.js";
import { JsonSyntaxError } from "../json-body.js";
import { logSandbox } from "../logging.js";
import { clientGone } from "../streams/client-gone.js";
import { isObject, readEnvelope } from "./envelope.js";
import { JsonRpcError, METHOD_NOT_FOUND, sendFailure, withId } from "./failures.js";
import { RPC_METHODS } from "./methods.js";

export function rpcRoute(app: App, context: ServerContext): void {
  app.post(
    "/api/v1/rpc",
    {
      errorHandler: sendFailure,
      schema: {
        summary: "JSON-RPC 2.0, as clients of microsandbox 0.2 speak it",
        description: `Methods: ${[...RPC_METHODS.keys()].join(", ")}.`,
        tags: ["rpc"],
        response: {
          200: Type.Object({
            jsonrpc: Type.Literal("2.0"),
            result: Type.Unknown(),
            id: Type.Optional(Type.Unknown()),
          }),
          default: FailureBody,
        },
      },
    },
    async (request, reply) => {
      const { method, params, id } = readEnvelope(bodyOf(request), request.principal);
      const run = RPC_METHODS.get(method);
      if (run === undefined) {
        throw new JsonRpcError(METHOD_NOT_FOUND, id, `Method not found: ${method.slice(0, 100)}`);
      }
      if (isObject(params)) logSandbox(request, params["namespace"], params["sandbox"]);
      const result = await run(context, { params, signal: clientGone(reply) });
      return withId({ jsonrpc: "2.0" as const, result }, id);
    },
  );
}

const FailureBody = Type.Union([
  Type.Object({ error: Type.String(), code: Type.Integer() }),
  Type.Object({
    jsonrpc: Type.Literal("2.0"),
    error: Type.Object({ code: Type.Integer(), message: Type.String() }),
    id: Type.Optional(Type.Unknown()),
  }),
]);

/** The body is not in the schema of the route, because what is wrong with it has answers of its own. */
function bodyOf(request: FastifyRequest): unknown {
  if (request.body !== undefined && request.body !== null) return request.body;
  if (request.headers["content-type"] === undefined) {
    throw new MsbError("MSB_ERR_UNSUPPORTED_MEDIA_TYPE", "The request has no Content-Type.");
  }
  if (request.body === null) return null;
  throw new JsonSyntaxError("it is empty");
}
