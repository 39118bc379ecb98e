/** Checks what came from a client against a schema. */
import type { Static, TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { describeProblem } from "../validation.js";
import { invalidParams } from "./rpc-error.js";

/** `value` with the type of its schema. Throws an RpcError that names the first thing that is wrong. */
export function checked<T extends TSchema>(schema: T, value: unknown, what: string): Static<T> {
  if (Value.Check(schema, value)) return value;
  throw invalidParams(`${what}: ${describeProblem(Value.Errors(schema, value))}`);
}
