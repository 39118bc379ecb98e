/** The HTTP application: everything but listening. */
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import fastify, { type FastifyInstance, LogController } from "fastify";
import { MsbError } from "../errors.js";
import type { App, ServerContext } from "./context.js";
import type { AppDeps } from "./deps.js";
import { acceptJsonOnly } from "./json-body.js";
import { logRequests } from "./logging.js";
import { ServerMetrics } from "./metrics.js";
import { mcpRoutes } from "./mcp/routes.js";
import { authPlugin } from "./plugins/auth.js";
import { allowOrigins } from "./plugins/cors.js";
import { handleErrors, sendError } from "./plugins/errors.js";
import { describeApi } from "./plugins/openapi.js";
import { originGuard } from "./plugins/origin-guard.js";
import { handleUnknownRoutes } from "./plugins/unknown-routes.js";
import type { OriginRules } from "./origins.js";
import { commandRoute } from "./routes/commands.js";
import { contextRoutes } from "./routes/contexts.js";
import { imageRoutes } from "./routes/images.js";
import { infoRoutes } from "./routes/info.js";
import { logRoutes } from "./routes/logs.js";
import { runRoute } from "./routes/run.js";
import { sandboxRoutes } from "./routes/sandboxes.js";
import { startRoutes } from "./routes/starts.js";
import { warmRoute } from "./routes/warm.js";
import { rpcRoute } from "./rpc/route.js";
import { validatorCompiler } from "./validation.js";

/** Of one request's headers, from its first byte. */
const HEADERS_TIMEOUT_MS = 20_000;
/** Of one request with its body; the answer may take as long as it likes. */
const RECEIVE_TIMEOUT_MS = 120_000;
/** How often the two above are looked at. */
const TIMEOUT_CHECK_MS = 5_000;
/** Clients of the old server keep connections for 15 s, and fail when the server is the first to close one. */
const KEEP_ALIVE_MS = 75_000;
/** More than that are closed as they come. Each costs a file descriptor and some memory. */
const MAX_CONNECTIONS = 4_096;

/** Never listens. What it was given stays open when it is closed. */
export async function buildApp(deps: AppDeps): Promise<FastifyInstance> {
  const app = createServer(deps);
  const closing = refuseWhenClosing(app);
  const context: ServerContext = { ...deps, metrics: deps.metrics ?? new ServerMetrics(), closing };
  handleErrors(app);
  acceptJsonOnly(app);
  logRequests(app);
  measureRequests(app, context);
  const handleOtherMethods = handleUnknownRoutes(app);
  await describeApi(app, deps.version);
  // Before CORS, which answers preflights; the key comes last, because preflights have none.
  const { allowedHosts, corsOrigins } = deps.config;
  const rules: OriginRules = { allowedHosts, corsOrigins, isDevMode: deps.authenticator === null };
  await app.register(originGuard, rules);
  await allowOrigins(app, rules);
  await app.register(authPlugin, { authenticator: deps.authenticator });

  rpcRoute(app, context);
  infoRoutes(app, context);
  startRoutes(app, context);
  sandboxRoutes(app, context);
  logRoutes(app, context);
  runRoute(app, context);
  commandRoute(app, context);
  contextRoutes(app, context);
  imageRoutes(app, context);
  warmRoute(app, context);
  await app.register(mcpRoutes, {
    sandboxes: deps.sandboxes,
    serverVersion: deps.version,
    maxOutputBytes: deps.config.maxOutputBytes,
  });
  // The methods that no route has.
  handleOtherMethods();
  return app as unknown as FastifyInstance;
}

function createServer({ logger, config }: AppDeps): App {
  const app = fastify({
    loggerInstance: logger,
    logController: new LogController({
      disableRequestLogging: true,
      requestIdLogLabel: "requestId",
    }),
    genReqId: requestId,
    // Of addresses that cannot be read, before there is a route and its hooks.
    frameworkErrors: (error, request, reply) => void sendError(error, request, reply),
    rewriteUrl: ({ url = "/" }) => singleSlashes(url),
    bodyLimit: config.maxBodyBytes,
    requestTimeout: RECEIVE_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    http: { connectionsCheckingInterval: TIMEOUT_CHECK_MS },
    return503OnClosing: false,
    routerOptions: { maxParamLength: 256 },
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.server.headersTimeout = HEADERS_TIMEOUT_MS;
  app.server.maxConnections = MAX_CONNECTIONS;
  app.setValidatorCompiler(validatorCompiler);
  // Schemas describe answers and do not shape them: what a schema forgot is not lost.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  return app;
}

/** Only one in front of the server could know its own, so it is taken as long as it is harmless in a log. */
function requestId({ headers }: IncomingMessage): string {
  const { "x-request-id": given } = headers;
  return typeof given === "string" && /^[\w.-]{1,64}$/.test(given) ? given : randomUUID();
}

/** `//api/v1/rpc` is what clients ask for whose server address ends with a slash. */
function singleSlashes(url: string): string {
  const query = url.indexOf("?");
  const path = query === -1 ? url : url.slice(0, query);
  return path.startsWith("/") ? path.replaceAll(/\/{2,}/g, "/") + url.slice(path.length) : url;
}

/** The signal aborts when the server begins to close: streams without an end have to end then. */
function refuseWhenClosing(app: App): AbortSignal {
  const closing = new AbortController();
  app.addHook("preClose", async () => closing.abort());
  app.addHook("onRequest", async () => {
    if (!closing.signal.aborted) return;
    throw new MsbError("MSB_ERR_SHUTTING_DOWN", "The server is shutting down. Try again soon.");
  });
  return closing.signal;
}

function measureRequests(app: App, { metrics }: ServerContext): void {
  app.addHook("onResponse", async (request, reply) => {
    metrics.onRequest({
      method: request.method,
      route: request.routeOptions.url ?? "none",
      status: reply.statusCode,
      durationMs: reply.elapsedTime,
    });
  });
}
