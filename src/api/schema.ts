/** Small schemas and helpers that all resources share. */
import {
  type Static,
  type TLiteral,
  type TObject,
  type TProperties,
  type TSchema,
  type TUnion,
  Type,
} from "@sinclair/typebox";

type Literals<T extends readonly string[]> = TUnion<{ -readonly [K in keyof T]: TLiteral<T[K]> }>;

/** One of the given texts. */
export function StringUnion<const T extends readonly string[]>(
  values: T,
  opts: { description?: string } = {},
): Literals<T> {
  const literals = values.map((value) => Type.Literal(value));
  return Type.Union(literals, opts) as unknown as Literals<T>;
}

export const Nullable = <T extends TSchema>(schema: T, opts: { description?: string } = {}) =>
  Type.Union([schema, Type.Null()], opts);

/** An object in which a member of another name is a mistake of the caller. */
export const Closed = <T extends TProperties>(members: T): TObject<T> =>
  Type.Object(members, { additionalProperties: false });

export const Milliseconds = (description: string) =>
  Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1, description });

/** `NAME=value`. */
export const EnvEntry = Type.String({ pattern: "^[^=\\u0000]+=[^\\u0000]*$", maxLength: 131_072 });

/** ISO 8601. */
export const Timestamp = Type.String({ description: "ISO 8601" });

export const ErrorBody = Type.Object(
  {
    statusCode: Type.Integer(),
    code: Type.String({ description: "Stable, such as MSB_ERR_SANDBOX_NOT_FOUND" }),
    error: Type.String({ description: "The name of the status" }),
    message: Type.String({ description: "For people; may change" }),
    details: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    requestId: Type.String({ description: "Finds the request in the server's log" }),
  },
  { description: "The one body of errors under /api/v1, but for /api/v1/rpc" },
);
export type ErrorBody = Static<typeof ErrorBody>;

/** The last record of a stream that broke after it had begun. */
export const StreamFailure = Type.Object({
  type: Type.Literal("failure"),
  error: Type.Object({
    code: Type.String(),
    message: Type.String(),
    details: Type.Record(Type.String(), Type.Unknown()),
  }),
});
export type StreamFailure = Static<typeof StreamFailure>;
