/** Which web pages may call the server. */
import cors from "@fastify/cors";
import type { FastifyInstance } from "fastify";
import { isLoopbackHost } from "../../util/host-port.js";
import type { AppDeps } from "../deps.js";

/** Register it before keys are checked: preflights come without one. */
export async function allowOrigins(
  app: FastifyInstance,
  { config, authenticator }: Pick<AppDeps, "config" | "authenticator">,
): Promise<void> {
  const origin = allowedOrigin(config.corsOrigins, authenticator === null);
  if (origin === null) return;
  await app.register(cors, {
    origin,
    methods: ["GET", "POST", "PUT", "DELETE"],
    allowedHeaders: ["authorization", "accept", "content-type", "last-event-id"],
    exposedHeaders: ["x-request-id", "retry-after", "location"],
    strictPreflight: false,
  });
}

type OriginRule = "*" | string[] | ((origin: string | undefined, done: OriginAnswer) => void);
type OriginAnswer = (error: Error | null, allow: boolean) => void;

/** Null when no page may call. */
function allowedOrigin(origins: readonly string[], isDevMode: boolean): OriginRule | null {
  if (origins.includes("*")) return "*";
  if (origins.length > 0) return [...origins];
  if (!isDevMode) return null;
  return (origin, done) => done(null, origin !== undefined && isLoopbackOrigin(origin));
}

function isLoopbackOrigin(origin: string): boolean {
  return URL.canParse(origin) && isLoopbackHost(new URL(origin).host);
}
