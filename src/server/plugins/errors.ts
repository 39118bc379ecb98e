/** Errors to HTTP: the one place that chooses a status from the table of codes. */
import { STATUS_CODES } from "node:http";
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { ErrorBody } from "../../api/schema.js";
import { ERROR_CODES, type ErrorCode, isMsbError, MsbError } from "../../errors.js";

/** When the one who refuses does not say how long to wait. */
const RETRY_AFTER_SECONDS = 5;
const RETRY_LATER: ReadonlySet<ErrorCode> = new Set([
  "MSB_ERR_TOO_MANY_SANDBOXES",
  "MSB_ERR_RATE_LIMITED",
  "MSB_ERR_SHUTTING_DOWN",
]);

const FASTIFY_CODES: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: "MSB_ERR_REQUEST_TOO_LARGE",
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "MSB_ERR_UNSUPPORTED_MEDIA_TYPE",
};

/** Routes with a shape of their own set a handler in front of this. */
export function handleErrors(app: FastifyInstance): void {
  app.setErrorHandler(sendError);
}

/** Answers with the one error body. */
export function sendError(
  thrown: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const error = publicError(thrown, request);
  return sendStatus(reply, error).send(errorBody(error, request.id));
}

/** Sets the status of an error and the headers that go with it. */
export function sendStatus(reply: FastifyReply, error: MsbError, status?: number): FastifyReply {
  const seconds = retryAfterSeconds(error);
  if (seconds !== null) reply.header("retry-after", String(seconds));
  if (error.code === "MSB_ERR_UNAUTHENTICATED") reply.header("www-authenticate", "Bearer");
  if (error.code === "MSB_ERR_SHUTTING_DOWN") reply.header("connection", "close");
  return reply.code(status ?? httpStatus(error.code)).type("application/json");
}

export function httpStatus(code: ErrorCode): number {
  return ERROR_CODES[code].httpStatus;
}

export function errorBody(error: MsbError, requestId: string): ErrorBody {
  const statusCode = httpStatus(error.code);
  return {
    statusCode,
    code: error.code,
    error: STATUS_CODES[statusCode] ?? (statusCode === 499 ? "Client Closed Request" : "Error"),
    message: error.message,
    ...(Object.keys(error.details).length === 0 ? {} : { details: error.details }),
    requestId,
  };
}

/** What the outside may know of anything thrown. What it may not know is in the log, once. */
export function publicError(thrown: unknown, request: FastifyRequest): MsbError {
  if (isMsbError(thrown)) {
    const { code, message } = thrown;
    // What callers do wrong has no stack worth keeping, and they can do it often.
    if (httpStatus(code) >= 500) request.log.warn({ code, err: thrown }, message);
    else request.log.info({ code }, message);
    return thrown;
  }
  const known = fromFastify(thrown);
  if (known !== null) return known;
  request.log.error({ err: thrown }, "A request failed in a way nobody thought of.");
  return new MsbError(
    "MSB_ERR_INTERNAL",
    `Something is wrong in the server. Its log has the cause under request ${request.id}.`,
  );
}

/** Fastify's own errors about requests: bodies, headers, addresses that it cannot read. */
function fromFastify(thrown: unknown): MsbError | null {
  if (!(thrown instanceof Error)) return null;
  const { code, statusCode } = thrown as Partial<FastifyError>;
  if (statusCode === undefined || statusCode < 400 || statusCode >= 500) return null;
  const ours = FASTIFY_CODES[code ?? ""] ?? "MSB_ERR_INVALID_ARGUMENT";
  return new MsbError(ours, `${thrown.message.replace(/\.?$/, ".")}`, { cause: thrown });
}

function retryAfterSeconds({ code, details }: MsbError): number | null {
  const { retryAfterSeconds: seconds } = details;
  if (typeof seconds === "number" && seconds >= 0) return Math.ceil(seconds);
  return RETRY_LATER.has(code) ? RETRY_AFTER_SECONDS : null;
}
