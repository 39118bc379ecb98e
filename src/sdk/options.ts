/** Options of the SDK in the units of the wire: times are seconds to users and milliseconds to the server. */
import { type CallOpts, MAX_TIMEOUT_MS } from "./call-signal.js";
import { sdkError } from "./errors.js";

/** What every call that waits for the server takes. */
export interface WaitOpts {
  /** Seconds until the call fails with MSB_ERR_REQUEST_TIMEOUT. Default: no limit. */
  readonly timeout?: number | undefined;
  /** Calls it off: MSB_ERR_ABORTED. */
  readonly signal?: AbortSignal | undefined;
}

/** Throws MSB_ERR_INVALID_ARGUMENT. */
export function callOpts({ timeout, signal }: WaitOpts): CallOpts {
  return { signal, timeoutMs: timeoutMs("timeout", timeout) };
}

/** Undefined for no limit. Throws MSB_ERR_INVALID_ARGUMENT. */
export function timeoutMs(option: string, seconds: number | undefined): number | undefined {
  if (seconds === undefined || seconds === Infinity) return undefined;
  if (seconds === 0) {
    throw invalid(option, "must be more than 0 seconds. Leave it out for no limit.");
  }
  return milliseconds(option, seconds);
}

/** As `timeoutMs`, for options in which 0 has a meaning. */
export function milliseconds(option: string, seconds: number): number {
  const value = Math.ceil(seconds * 1000);
  if (seconds >= 0 && value <= MAX_TIMEOUT_MS) return value;
  const most = Math.floor(MAX_TIMEOUT_MS / 1000);
  throw invalid(option, `must be a number of seconds, at most ${most}; it is ${seconds}.`);
}

/** As the wire has them: NAME=value. Throws MSB_ERR_INVALID_ARGUMENT. */
export function envEntries(env: Readonly<Record<string, string>>): string[] {
  return Object.entries(env).map(([name, value]) => {
    // Another program would read another name.
    if (name === "" || name.includes("=")) throw invalid("env", `has a bad name: "${name}".`);
    return `${name}=${value}`;
  });
}

/** The members that are there: the server has its own defaults, and null is no number. */
export function given<T extends object>(members: T): Given<T> {
  const entries = Object.entries(members).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Given<T>;
}

type Given<T> = { [K in keyof T]: Exclude<T[K], undefined> };

export function invalid(option: string, problem: string): Error {
  return sdkError("MSB_ERR_INVALID_ARGUMENT", `${option} ${problem}`, { details: { option } });
}
