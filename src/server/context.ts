/** What routes are given: what the server was made of, and what it made itself. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from "fastify";
import type { AppDeps } from "./deps.js";
import type { ServerMetrics } from "./metrics.js";

export interface ServerContext extends AppDeps {
  readonly metrics: ServerMetrics;
  /** Aborts when the server begins to close. */
  readonly closing: AbortSignal;
}

/** Fastify whose handlers know the types of their schemas. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;
