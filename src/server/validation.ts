/** Checks of requests by their schemas, with messages that say what is wrong and where. */
import type { TSchema } from "@sinclair/typebox";
import { TypeCompiler, type ValueError, ValueErrorType } from "@sinclair/typebox/compiler";
import { Value } from "@sinclair/typebox/value";
import type { FastifySchemaCompiler } from "fastify";
import { MsbError } from "../errors.js";

/** A body is taken as it is; what comes in an address is text and becomes what the schema wants. */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const compiled = TypeCompiler.Compile(schema);
  return (given: unknown) => {
    const isAddress = httpPart === "querystring" || httpPart === "params";
    const value = isAddress
      ? Value.Default(schema, Value.Convert(schema, { ...(given as object) }))
      : given;
    if (compiled.Check(value)) return { value };
    const problem = describeProblem(compiled.Errors(value));
    return {
      error: new MsbError(
        "MSB_ERR_INVALID_ARGUMENT",
        `The request is not valid: in the ${PARTS[httpPart ?? ""] ?? "request"}, ${problem}.`,
      ),
    };
  };
};

const PARTS: Readonly<Record<string, string>> = {
  body: "body",
  querystring: "query",
  params: "path",
  headers: "headers",
};

/** The first thing that is wrong, such as `memoryMiB must be an integer`. */
export function describeProblem(errors: Iterable<ValueError>): string {
  const [first] = errors;
  return first === undefined ? "something is wrong" : describe(first);
}

function describe(error: ValueError): string {
  const name = nameOf(error.path);
  switch (error.type) {
    case ValueErrorType.ObjectRequiredProperty:
      return `${name} is missing`;
    case ValueErrorType.ObjectAdditionalProperties:
      return `${name} is not a known member`;
    case ValueErrorType.Union:
      return describeUnion(error);
    default:
      return `${name}: ${error.message.replace(/^Expected/, "expected")}`;
  }
}

/** For null or one more: what the one wants. For texts: which. */
function describeUnion({ schema, path, value }: ValueError): string {
  const options = (schema as { anyOf?: TSchema[] }).anyOf ?? [];
  const texts = options.map((option) => (option as { const?: unknown }).const);
  if (texts.every((text) => typeof text === "string")) {
    return `${nameOf(path)} must be one of ${texts.join(", ")}`;
  }
  const other = options.filter((option) => option["type"] !== "null");
  if (other.length !== 1) return `${nameOf(path)} has none of the forms that are allowed`;
  const [inner] = Value.Errors(other[0]!, value);
  return inner === undefined
    ? `${nameOf(path)} is not valid`
    : describe({ ...inner, path: path + inner.path });
}

function nameOf(path: string): string {
  const name = path.slice(1).replaceAll("/", ".").replaceAll("~1", "/").replaceAll("~0", "~");
  return name === "" ? "it" : name.slice(0, 200);
}
