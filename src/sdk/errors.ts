/** The SDK's errors: MsbError by family, so that `instanceof` tells what a caller can do about one. */
import { type ErrorCode, type ErrorDetails, MsbError } from "../errors.js";

/** The server cannot be reached, or what answers is no server that this client understands. */
export class ConnectionError extends MsbError {
  override readonly name: string = "ConnectionError";
}

/** The API key is missing, wrong or expired, or it is for something else. */
export class AuthenticationError extends MsbError {
  override readonly name: string = "AuthenticationError";
}

/** A sandbox, image or context of that name is not there. */
export class NotFoundError extends MsbError {
  override readonly name: string = "NotFoundError";
}

/** Something took longer than it was allowed; `details.timeoutMs` says how long that was. */
export class TimeoutError extends MsbError {
  override readonly name: string = "TimeoutError";
}

/** The caller's AbortSignal was aborted; its reason is the `cause`. */
export class AbortError extends MsbError {
  override readonly name: string = "AbortError";
}

/** What was asked for does not go with the state of things: a sandbox that does not run, a name that is taken. */
export class InvalidStateError extends MsbError {
  override readonly name: string = "InvalidStateError";
}

/** A limit was reached: of sandboxes, requests, output, disk space. */
export class LimitError extends MsbError {
  override readonly name: string = "LimitError";
}

/** An argument that is wrong whatever the state of things. */
export class InvalidArgumentError extends MsbError {
  override readonly name: string = "InvalidArgumentError";
}

/** A program or an interpreter cannot be started in the sandbox. */
export class ExecutionError extends MsbError {
  override readonly name: string = "ExecutionError";
}

/** An image cannot be had or cannot be used. */
export class ImageError extends MsbError {
  override readonly name: string = "ImageError";
}

/** Something is wrong with the server or with the microVM. */
export class ServerError extends MsbError {
  override readonly name: string = "ServerError";
}

type ErrorClass = new (...args: ConstructorParameters<typeof MsbError>) => MsbError;

/** The one table from codes to classes; the rest is ServerError. */
const FAMILIES: readonly (readonly [ErrorClass, readonly ErrorCode[]])[] = [
  [
    ConnectionError,
    ["MSB_ERR_SERVER_UNREACHABLE", "MSB_ERR_SERVER_INCOMPATIBLE", "MSB_ERR_SERVER_NOT_RUNNING"],
  ],
  [AuthenticationError, ["MSB_ERR_UNAUTHENTICATED", "MSB_ERR_ACCESS_DENIED"]],
  [
    NotFoundError,
    [
      "MSB_ERR_SANDBOX_NOT_FOUND",
      "MSB_ERR_IMAGE_NOT_FOUND",
      "MSB_ERR_CONTEXT_NOT_FOUND",
      "MSB_ERR_EXEC_NOT_FOUND",
      "MSB_ERR_FILE_NOT_FOUND",
      "MSB_ERR_DISK_NOT_FOUND",
      "MSB_ERR_ROUTE_NOT_FOUND",
    ],
  ],
  [TimeoutError, ["MSB_ERR_EXEC_TIMEOUT", "MSB_ERR_REQUEST_TIMEOUT", "MSB_ERR_BOOT_TIMEOUT"]],
  [AbortError, ["MSB_ERR_ABORTED"]],
  [InvalidStateError, ["MSB_ERR_INVALID_STATE", "MSB_ERR_SANDBOX_EXISTS", "MSB_ERR_IMAGE_IN_USE"]],
  [
    LimitError,
    [
      "MSB_ERR_TOO_MANY_SANDBOXES",
      "MSB_ERR_RATE_LIMITED",
      "MSB_ERR_CONTEXT_LIMIT",
      "MSB_ERR_OUTPUT_LIMIT",
      "MSB_ERR_REQUEST_TOO_LARGE",
      "MSB_ERR_IMAGE_LIMIT",
      "MSB_ERR_NO_SPACE",
    ],
  ],
  [
    InvalidArgumentError,
    [
      "MSB_ERR_INVALID_ARGUMENT",
      "MSB_ERR_INVALID_REFERENCE",
      "MSB_ERR_METHOD_NOT_ALLOWED",
      "MSB_ERR_UNSUPPORTED_MEDIA_TYPE",
    ],
  ],
  [ExecutionError, ["MSB_ERR_EXEC_FAILED", "MSB_ERR_KERNEL_UNAVAILABLE"]],
  [
    ImageError,
    [
      "MSB_ERR_IMAGE_INVALID",
      "MSB_ERR_IMAGE_PLATFORM",
      "MSB_ERR_UNSAFE_LAYER",
      "MSB_ERR_DIGEST_MISMATCH",
      "MSB_ERR_REGISTRY",
      "MSB_ERR_REGISTRY_UNAVAILABLE",
      "MSB_ERR_REGISTRY_AUTH",
      "MSB_ERR_RECIPE_FAILED",
    ],
  ],
];

const CLASSES: ReadonlyMap<ErrorCode, ErrorClass> = new Map(
  FAMILIES.flatMap(([errorClass, codes]) => codes.map((code) => [code, errorClass] as const)),
);

/** An MsbError of the class that goes with its code. */
export function sdkError(
  code: ErrorCode,
  message: string,
  opts: { cause?: unknown; details?: ErrorDetails } = {},
): MsbError {
  return new (CLASSES.get(code) ?? ServerError)(code, message, opts);
}
