/** How the server logs: what a line has, and what never comes into one. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { LoggerOptions } from "pino";

/** For the pino logger that the server is given. */
export function loggerOptions(level: string): LoggerOptions {
  return {
    level,
    redact: {
      paths: SECRET_HEADERS.flatMap((name) => [
        `headers["${name}"]`,
        `req.headers["${name}"]`,
        `request.headers["${name}"]`,
        `err.config.headers["${name}"]`,
      ]),
      censor: "[redacted]",
    },
  };
}

const SECRET_HEADERS = ["authorization", "proxy-authorization", "cookie"];

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
        path: url.split("?", 1)[0],
        remoteAddress: ip,
        statusCode: reply.statusCode,
        durationMs: Math.round(reply.elapsedTime),
        ...(reply.raw.writableFinished ? {} : { isAborted: true }),
      },
      "request",
    );
  });
}
