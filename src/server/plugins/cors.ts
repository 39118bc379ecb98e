/** Which web pages may call the server. */
import cors from "@fastify/cors";
import type { FastifyInstance } from "fastify";
import { isAllowedOrigin, type OriginRules } from "../origins.js";

/** Register it before keys are checked: preflights come without one. */
export async function allowOrigins(app: FastifyInstance, rules: OriginRules): Promise<void> {
  const { corsOrigins, isDevMode } = rules;
  if (corsOrigins.length === 0 && !isDevMode) return;
  await app.register(cors, {
    origin: corsOrigins.includes("*")
      ? "*"
      : (origin, done) => {
          // Pages of this server itself need no leave, so its own name is none of the rule here.
          done(null, origin !== undefined && isAllowedOrigin(origin, undefined, rules));
        },
    methods: ["GET", "POST", "PUT", "DELETE"],
    allowedHeaders: ["authorization", "accept", "content-type", "last-event-id"],
    exposedHeaders: ["x-request-id", "retry-after", "location"],
    strictPreflight: false,
  });
}
