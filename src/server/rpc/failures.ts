/** Failed calls as clients of the old server know them: a flat object, a JSON-RPC error, or plain text. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { type ErrorCode, MsbError } from "../../errors.js";
import { JsonSyntaxError } from "../json-body.js";
import { httpStatus, publicError, sendStatus } from "../plugins/errors.js";

/** The old server's numbers. */
const INVALID_CREDENTIALS = 1001;
const INVALID_INPUT = 2001;
const ACCESS_DENIED = 3001;
const INTERNAL = 5002;

/** The failures that have a status of their own; all others are 500, as ever. */
const OWN_STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  MSB_ERR_UNAUTHENTICATED: INVALID_CREDENTIALS,
  MSB_ERR_ACCESS_DENIED: ACCESS_DENIED,
  MSB_ERR_INVALID_ARGUMENT: INVALID_INPUT,
  MSB_ERR_INVALID_REFERENCE: INVALID_INPUT,
  MSB_ERR_RATE_LIMITED: INTERNAL,
  MSB_ERR_TOO_MANY_SANDBOXES: INTERNAL,
  MSB_ERR_SHUTTING_DOWN: INTERNAL,
};

/** Only these are known to JSON-RPC here. */
export const INVALID_REQUEST = -32600;
export const METHOD_NOT_FOUND = -32601;

/** A request that is no JSON-RPC 2.0, or for a method that is none. */
export class JsonRpcError extends MsbError {
  constructor(
    readonly rpcCode: typeof INVALID_REQUEST | typeof METHOD_NOT_FOUND,
    readonly id: unknown,
    message: string,
  ) {
    super(
      rpcCode === INVALID_REQUEST ? "MSB_ERR_INVALID_ARGUMENT" : "MSB_ERR_ROUTE_NOT_FOUND",
      message,
    );
  }
}

/** JSON that is no request at all. */
export class NotARequestError extends MsbError {
  constructor(reason: string) {
    super("MSB_ERR_INVALID_ARGUMENT", reason);
  }
}

/** The error handler of the route. */
export function sendFailure(
  thrown: Error,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const error = publicError(thrown, request);
  const text = plainText(error);
  if (text !== null) {
    const status = error instanceof NotARequestError ? 422 : httpStatus(error.code);
    return sendStatus(reply, error, status).type("text/plain; charset=utf-8").send(text);
  }
  if (error instanceof JsonRpcError) {
    const body = { jsonrpc: "2.0", error: { code: error.rpcCode, message: error.message } };
    return sendStatus(reply, error).send(withId(body, error.id));
  }
  const code = OWN_STATUS[error.code];
  const status = code === undefined ? 500 : httpStatus(error.code);
  return sendStatus(reply, error, status).send({
    error: error.message,
    code: wireCode(error) ?? code ?? INTERNAL,
  });
}

/** An id that was not given, or is null, is not echoed. */
export function withId<T extends object>(body: T, id: unknown): T & { id?: unknown } {
  return id === undefined || id === null ? body : { ...body, id };
}

/** Of what could not even be read. */
function plainText(error: MsbError): string | null {
  if (error instanceof JsonSyntaxError) {
    return `Failed to parse the request body as JSON: ${error.message}`;
  }
  if (error instanceof NotARequestError) {
    return `Failed to deserialize the JSON body into the target type: ${error.message}`;
  }
  if (error.code === "MSB_ERR_REQUEST_TOO_LARGE") {
    return "Failed to buffer the request body: length limit exceeded";
  }
  return error.code === "MSB_ERR_UNSUPPORTED_MEDIA_TYPE"
    ? "Expected request with `Content-Type: application/json`"
    : null;
}

/** Who checks keys tells missing ones from bad ones. */
function wireCode({ code, details }: MsbError): number | null {
  const { wireCode: given } = details;
  return code === "MSB_ERR_UNAUTHENTICATED" && typeof given === "number" ? given : null;
}
