/** Every error that leaves this package: one class, one table of codes. */

/** What each code means to programs. `httpStatus` and `exitCode` are used by the server and the CLI. */
interface ErrorKind {
  readonly httpStatus: number;
  readonly exitCode: number;
  /** The same call may succeed if it is made again unchanged. */
  readonly retryable: boolean;
}

const kind = (httpStatus: number, exitCode: number, retryable = false): ErrorKind => ({
  httpStatus,
  exitCode,
  retryable,
});

/** The one table. A code is API and never changes its meaning; the message text may. */
export const ERROR_CODES = {
  MSB_ERR_INVALID_ARGUMENT: kind(400, 2),
  MSB_ERR_ABORTED: kind(499, 130),

  MSB_ERR_DISK_NOT_FOUND: kind(404, 66),
  MSB_ERR_DISK_INVALID: kind(422, 65),
  MSB_ERR_NO_SPACE: kind(507, 73),
  MSB_ERR_HOME_UNUSABLE: kind(500, 74),

  MSB_ERR_INVALID_REFERENCE: kind(400, 2),
  MSB_ERR_IMAGE_NOT_FOUND: kind(404, 66),
  MSB_ERR_IMAGE_IN_USE: kind(409, 75),
  MSB_ERR_IMAGE_INVALID: kind(422, 65),
  MSB_ERR_IMAGE_PLATFORM: kind(422, 65),
  MSB_ERR_IMAGE_LIMIT: kind(413, 65),
  MSB_ERR_UNSAFE_LAYER: kind(422, 65),
  MSB_ERR_DIGEST_MISMATCH: kind(502, 65),
  MSB_ERR_REGISTRY: kind(502, 69),
  MSB_ERR_REGISTRY_UNAVAILABLE: kind(502, 69, true),
  MSB_ERR_REGISTRY_AUTH: kind(502, 77),
  MSB_ERR_RECIPE_FAILED: kind(500, 70),
  MSB_ERR_SETTINGS_INVALID: kind(500, 78),

  MSB_ERR_HYPERVISOR_UNAVAILABLE: kind(503, 69),
  MSB_ERR_KVM_UNAVAILABLE: kind(503, 69),
  MSB_ERR_LIBKRUN_MISSING: kind(503, 69),
  MSB_ERR_LIBKRUN_INVALID: kind(503, 69),
  MSB_ERR_KERNEL_INVALID: kind(503, 69),
  MSB_ERR_QEMU_MISSING: kind(503, 69),
  MSB_ERR_TOOL_MISSING: kind(503, 69),
  MSB_ERR_ADDON_MISSING: kind(503, 69),

  MSB_ERR_COMPONENT_DOWNLOAD: kind(502, 69, true),
  MSB_ERR_COMPONENT_INTEGRITY: kind(502, 65),
  MSB_ERR_PLATFORM_UNSUPPORTED: kind(501, 69),

  MSB_ERR_BOOT_FAILED: kind(500, 125),
  MSB_ERR_BOOT_TIMEOUT: kind(504, 125),
  MSB_ERR_VM_EXITED: kind(500, 125),
  MSB_ERR_SNAPSHOT_FAILED: kind(500, 125),

  MSB_ERR_AGENT_UNREACHABLE: kind(502, 125, true),
  MSB_ERR_PROTOCOL: kind(502, 125),
  MSB_ERR_GENERATION: kind(502, 125),
  MSB_ERR_AGENT_FAILED: kind(502, 125),
  MSB_ERR_REQUEST_TIMEOUT: kind(504, 124),

  MSB_ERR_EXEC_FAILED: kind(422, 126),
  MSB_ERR_EXEC_NOT_FOUND: kind(404, 125),
  MSB_ERR_OUTPUT_LIMIT: kind(413, 125),
  MSB_ERR_FILE_NOT_FOUND: kind(404, 66),
  MSB_ERR_FILE_FAILED: kind(422, 74),

  MSB_ERR_EXEC_TIMEOUT: kind(504, 124),
  MSB_ERR_KERNEL_UNAVAILABLE: kind(422, 127),
  MSB_ERR_CONTEXT_NOT_FOUND: kind(404, 66),
  MSB_ERR_CONTEXT_LIMIT: kind(429, 75),

  MSB_ERR_SANDBOX_NOT_FOUND: kind(404, 66),
  MSB_ERR_SANDBOX_EXISTS: kind(409, 73),
  MSB_ERR_INVALID_STATE: kind(409, 75),
  MSB_ERR_TOO_MANY_SANDBOXES: kind(429, 75, true),

  MSB_ERR_UNAUTHENTICATED: kind(401, 77),
  MSB_ERR_ACCESS_DENIED: kind(403, 77),
  MSB_ERR_RATE_LIMITED: kind(429, 75, true),
  MSB_ERR_KEY_FILE_INVALID: kind(500, 78),
  MSB_ERR_ROUTE_NOT_FOUND: kind(404, 66),
  MSB_ERR_METHOD_NOT_ALLOWED: kind(405, 2),
  MSB_ERR_REQUEST_TOO_LARGE: kind(413, 65),
  MSB_ERR_UNSUPPORTED_MEDIA_TYPE: kind(415, 65),
  MSB_ERR_SHUTTING_DOWN: kind(503, 75, true),
  MSB_ERR_SERVER_RUNNING: kind(409, 75),
  MSB_ERR_SERVER_NOT_RUNNING: kind(503, 69),
  MSB_ERR_SERVER_UNREACHABLE: kind(503, 69, true),
  MSB_ERR_SERVER_INCOMPATIBLE: kind(502, 76),
  MSB_ERR_SERVER_FAILED: kind(500, 70),
  MSB_ERR_ADDRESS_IN_USE: kind(409, 75),

  MSB_ERR_INTERNAL: kind(500, 70),
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Marks errors of this package, whichever copy of it made them: a program may have loaded more than one. */
const BRAND = Symbol.for("msb-ts.error");

/** Facts for programs; everything in it can be printed. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/**
 * The one error of this package. `message` says what happened, to what, and what to do next;
 * `code` is stable; `details` holds the same facts for programs.
 */
export class MsbError extends Error {
  override readonly name: string = "MsbError";
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(
    code: ErrorCode,
    message: string,
    opts: { cause?: unknown; details?: ErrorDetails } = {},
  ) {
    super(message, opts.cause === undefined ? undefined : { cause: opts.cause });
    this.code = code;
    this.details = opts.details ?? {};
  }

  get [BRAND](): true {
    return true;
  }

  get retryable(): boolean {
    return ERROR_CODES[this.code].retryable;
  }

  toJSON(): { code: ErrorCode; message: string; details: ErrorDetails } {
    return { code: this.code, message: this.message, details: this.details };
  }
}

/** True for an MsbError, of the given code if one is given. */
export function isMsbError(error: unknown, code?: ErrorCode): error is MsbError {
  if (typeof error !== "object" || error === null || !(BRAND in error)) return false;
  return code === undefined || (error as MsbError).code === code;
}

/** The text of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
