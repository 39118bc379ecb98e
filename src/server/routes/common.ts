/** What the routes of REST share. */
import { type TSchema, Type } from "@sinclair/typebox";
import type { FastifyRequest } from "fastify";
import { namespaceProblem, sandboxNameProblem } from "../../api/names.js";
import { ErrorBody } from "../../api/schema.js";
import { MsbError } from "../../errors.js";
import type { SandboxKey } from "../../sandbox/service.js";
import { requireNamespace } from "../namespace-access.js";
import { NDJSON_TYPE, SSE_TYPE } from "../streams/format.js";

export const API = "/api/v1";
export const ONE_SANDBOX = `${API}/sandboxes/:namespace/:name`;

/** What any route may answer besides what it is for. */
export const FAILURES = { "4XX": ErrorBody, "5XX": ErrorBody } as const;

export const NoContent = Type.Null({ description: "Nothing" });

/** Answers record by record, in both forms. */
export const streamContent = <T extends TSchema>(record: T) => ({
  [NDJSON_TYPE]: { schema: record },
  [SSE_TYPE]: { schema: Type.String() },
});

/** The sandbox of the address. Throws MSB_ERR_INVALID_ARGUMENT, MSB_ERR_ACCESS_DENIED. */
export function sandboxKey(
  request: Pick<FastifyRequest, "principal"> & { readonly params: SandboxKey },
): SandboxKey {
  const { namespace, name } = request.params;
  const key = { namespace, name };
  checkKey(key);
  requireNamespace(request.principal, namespace);
  return key;
}

/** Throws MSB_ERR_INVALID_ARGUMENT. */
export function checkKey({ namespace, name }: SandboxKey): void {
  const problem = namespaceProblem(namespace) ?? sandboxNameProblem(name);
  if (problem !== null) throw new MsbError("MSB_ERR_INVALID_ARGUMENT", `${problem}.`);
}
