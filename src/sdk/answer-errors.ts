/** Answers that are failures, as errors: the server's own, and those of what is no server of ours. */
import type { ErrorBody, StreamFailure } from "../api/schema.js";
import { ERROR_CODES, type ErrorCode, type ErrorDetails, type MsbError } from "../errors.js";
import { bodyText, isJson } from "./answer-body.js";
import { sdkError } from "./errors.js";

const MAX_ERROR_BYTES = 1024 ** 2;
/** What a proxy says of a server that is not there. */
const GATEWAY_STATUSES: ReadonlySet<number> = new Set([502, 503, 504]);

/** What an answer came for. */
export interface AnswerSource {
  readonly serverUrl: string;
  readonly method: string;
  readonly path: string;
}

export async function answerError(response: Response, source: AnswerSource): Promise<MsbError> {
  if (isRedirect(response)) {
    void response.body?.cancel().catch(() => {});
    return redirectError(response, source);
  }
  const { text } = await bodyText(response, MAX_ERROR_BYTES);
  const body = isJson(response) ? parsed(text) : undefined;
  if (isErrorBody(body)) return serverError(body, response);
  return foreignError(response, source);
}

/** For `failure`, the last record of a stream that broke. */
export function failureError(failure: StreamFailure, response: Response): MsbError {
  return serverError(failure.error, response);
}

export function incompatible(
  what: string,
  { serverUrl, method, path }: AnswerSource,
  details: ErrorDetails = {},
): MsbError {
  return sdkError(
    "MSB_ERR_SERVER_INCOMPATIBLE",
    `What is at ${serverUrl} is no msb-ts server that this client understands: to ${method} ${path} it ${what}. ` +
      "Look at serverUrl (MSB_SERVER_URL), and use a server of this client's version.",
    { details: { serverUrl, method, path, ...details } },
  );
}

function serverError(
  { code, message, details }: Pick<ErrorBody, "code" | "message" | "details">,
  response: Response,
): MsbError {
  const requestId = response.headers.get("x-request-id");
  const retryAfter = Number(response.headers.get("retry-after") ?? Number.NaN);
  const facts: ErrorDetails = {
    ...(isObject(details) ? details : {}),
    ...(requestId === null ? {} : { requestId }),
    ...(Number.isFinite(retryAfter) ? { retryAfterSeconds: retryAfter } : {}),
  };
  if (isKnown(code)) return sdkError(code, message + adviceFor(code), { details: facts });
  return sdkError("MSB_ERR_INTERNAL", message, { details: { ...facts, code } });
}

/** The texts of keys that were refused are those of an older protocol, and give none. */
function adviceFor(code: ErrorCode): string {
  if (code !== "MSB_ERR_UNAUTHENTICATED") return "";
  return ": give a key of this server as apiKey or in MSB_API_KEY; `msb-ts server keygen` makes one.";
}

function isRedirect({ status, type }: Response): boolean {
  return type === "opaqueredirect" || (status >= 300 && status < 400);
}

/** It is not followed: the key is for the server, not for where that sends it. */
function redirectError(response: Response, source: AnswerSource): MsbError {
  const location = response.headers.get("location");
  const where = location === null ? "somewhere else" : `to ${location.slice(0, 200)}`;
  return incompatible(`redirects ${where}`, source, { status: response.status, location });
}

function foreignError(response: Response, source: AnswerSource): MsbError {
  const { status } = response;
  const { serverUrl } = source;
  if (GATEWAY_STATUSES.has(status)) {
    const message = `The server at ${serverUrl} cannot be reached: what is in front of it answers ${status}.`;
    return sdkError("MSB_ERR_SERVER_UNREACHABLE", message, { details: { serverUrl, status } });
  }
  const what =
    status === 404
      ? "answers that there is no such address, as servers of microsandbox 0.2 do"
      : `answers ${status} in a form of its own`;
  return incompatible(what, source, { status });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Servers that are not ours have codes, too, but not such. */
function isErrorBody(body: unknown): body is ErrorBody {
  if (!isObject(body)) return false;
  const { code, message } = body;
  return typeof code === "string" && code.startsWith("MSB_ERR_") && typeof message === "string";
}

function isKnown(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
