/** Checks what came from a client against a schema. */
import type { Static, TSchema } from "@sinclair/typebox";
import { Value, ValueErrorType } from "@sinclair/typebox/value";
import { invalidParams } from "./rpc-error.js";

/** `value` with the type of its schema. Throws an RpcError that names the first thing that is wrong. */
export function checked<T extends TSchema>(schema: T, value: unknown, what: string): Static<T> {
  const [wrong] = Value.Errors(schema, value);
  if (wrong === undefined) return value as Static<T>;
  const name = wrong.path.slice(1).replaceAll("/", ".");
  if (wrong.type === ValueErrorType.ObjectRequiredProperty) {
    throw invalidParams(`${what}: ${name} is missing`);
  }
  const reason = wrong.message.replace(/^Expected/, "expected");
  throw invalidParams(`${what}: ${name === "" ? reason : `${name}: ${reason}`}`);
}
