/** What is answered where nothing is: 404, and 405 where another method would do. */
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from "fastify";
import { MsbError } from "../../errors.js";

const METHODS: readonly HTTPMethods[] = [
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
  "TRACE",
];

/** Here clients of the old server get no body. */
const BARE_PATHS = new Set(["/api/v1/rpc", "/api/v1/health", "/mcp"]);

/**
 * Call it before any route is registered; the function it gives, after all are: it registers, for each address, the
 * methods it has not. So the router itself decides which address a request means, and keys are checked as ever.
 */
export function handleUnknownRoutes(app: FastifyInstance): () => void {
  const known = new Map<string, Set<string>>();
  const open = new Set<string>();
  app.addHook("onRoute", ({ url, method, config }) => {
    const methods = known.get(url) ?? new Set();
    for (const one of [method].flat()) methods.add(one);
    known.set(url, methods);
    if (config?.public === true) open.add(url);
  });
  app.setNotFoundHandler((request, reply) => {
    if (isBare(request)) return reply.code(404).send();
    throw new MsbError("MSB_ERR_ROUTE_NOT_FOUND", `There is nothing at ${pathOf(request)}.`);
  });
  return () => {
    for (const [url, own] of [...known]) {
      if (url === "*") continue;
      const allowed = METHODS.filter((method) => own.has(method) || covered(known, url, method));
      const missing = METHODS.filter((method) => !allowed.includes(method));
      refuseMethods(app, url, { missing, allow: allowed.join(", "), isPublic: open.has(url) });
    }
  };
}

function refuseMethods(
  app: FastifyInstance,
  url: string,
  { missing, allow, isPublic }: { missing: HTTPMethods[]; allow: string; isPublic: boolean },
): void {
  app.route({
    method: missing,
    url,
    schema: { hide: true },
    config: { public: isPublic },
    // Before the body is read, whatever it is.
    onRequest: async (request, reply) => {
      reply.header("allow", allow);
      if (isBare(request)) return reply.code(405).send();
      throw new MsbError(
        "MSB_ERR_METHOD_NOT_ALLOWED",
        `${pathOf(request)} does not know the method ${request.method}. Use ${allow}.`,
      );
    },
    handler: unreachable,
  });
}

/** Answered by a route with a wildcard, which one for this address alone would hide. */
function covered(known: ReadonlyMap<string, ReadonlySet<string>>, url: string, method: string) {
  return [...known].some(
    ([other, methods]) =>
      other !== url &&
      other.endsWith("/*") &&
      url.startsWith(other.slice(0, -1)) &&
      methods.has(method),
  );
}

function isBare(request: FastifyRequest): boolean {
  return BARE_PATHS.has(pathOf(request).replace(/\/+$/, ""));
}

function pathOf(request: FastifyRequest): string {
  return (request.url.split("?", 1)[0] ?? "").slice(0, 200);
}

async function unreachable(_request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  return reply;
}
