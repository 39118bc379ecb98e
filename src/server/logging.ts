/** What the server logs of requests. */
import type { FastifyInstance, FastifyRequest } from "fastify";

/** Addresses are as long as clients like. */
const MAX_PATH_LENGTH = 500;

/** Names the sandbox in every later line of the request. */
export function logSandbox(request: FastifyRequest, namespace?: unknown, sandbox?: unknown): void {
  const bindings = {
    ...(typeof namespace === "string" ? { namespace: namespace.slice(0, 64) } : {}),
    ...(typeof sandbox === "string" ? { sandbox: sandbox.slice(0, 64) } : {}),
  };
  if (Object.keys(bindings).length > 0) request.log = request.log.child(bindings);
}

/** One line a request when it is over, and the request's id in the answer. */
export function logRequests(app: FastifyInstance): void {
  app.addHook("onRequest", async (request, reply) => {
    reply.header("x-request-id", request.id);
  });
  app.addHook("preHandler", async (request) => {
    const { namespace, name } = (request.params ?? {}) as { namespace?: unknown; name?: unknown };
    logSandbox(request, namespace, name);
  });
  app.addHook("onResponse", async (request, reply) => {
    const { method, url, ip } = request;
    request.log.info(
      {
        method,
        path: url.split("?", 1)[0]?.slice(0, MAX_PATH_LENGTH),
        remoteAddress: ip,
        statusCode: reply.statusCode,
        durationMs: Math.round(reply.elapsedTime),
        ...(reply.raw.writableFinished ? {} : { isAborted: true }),
      },
      "request",
    );
  });
}
