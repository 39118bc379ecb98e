/** What ends a call early: its caller's signal or its timeout, each with its error. */
import { isMsbError, type MsbError } from "../errors.js";
import { sdkError } from "./errors.js";

export interface CallOpts {
  /** Calls off the request: MSB_ERR_ABORTED. What it asked for may have begun. */
  readonly signal?: AbortSignal | undefined;
  /**
   * MSB_ERR_REQUEST_TIMEOUT when the answer, with all its records, is not there in this time. Default: no limit of
   * this client's own.
   */
  readonly timeoutMs?: number | undefined;
}

/** Longer timers fire at once. */
export const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/**
 * One signal for both. Close it when the call is over: `AbortSignal.any` is not used because long-lived signals
 * remember what it made of them.
 */
export class CallSignal {
  readonly #controller = new AbortController();
  readonly #release: (() => void)[] = [];

  /** `what` begins the messages; `hint` ends the one of a timeout. */
  constructor(what: string, { signal, timeoutMs }: CallOpts, hint = "") {
    if (signal !== undefined) this.#follow(what, signal);
    if (timeoutMs === undefined || timeoutMs > MAX_TIMEOUT_MS) return;
    this.#limit(timeoutMs, `${what} took longer than ${timeoutMs} ms and was called off. ${hint}`);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Why the call was called off; undefined while it was not. */
  get error(): MsbError | undefined {
    const { signal } = this.#controller;
    return signal.aborted && isMsbError(signal.reason) ? signal.reason : undefined;
  }

  /** Gives up the request if it is still under way. */
  abort(reason: MsbError): void {
    this.#controller.abort(reason);
  }

  close(): void {
    for (const release of this.#release.splice(0)) release();
  }

  #follow(what: string, signal: AbortSignal): void {
    const onAbort = (): void => this.abort(abortError(what, signal));
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    this.#release.push(() => signal.removeEventListener("abort", onAbort));
  }

  #limit(timeoutMs: number, message: string): void {
    const timer = setTimeout(() => {
      const details = { timeoutMs };
      this.abort(sdkError("MSB_ERR_REQUEST_TIMEOUT", message.trimEnd(), { details }));
    }, timeoutMs);
    this.#release.push(() => clearTimeout(timer));
  }
}

/** An MsbError that is the signal's reason says it better. */
function abortError(what: string, signal: AbortSignal): MsbError {
  const { reason } = signal;
  if (isMsbError(reason)) return reason;
  return sdkError("MSB_ERR_ABORTED", `${what} was aborted.`, { cause: reason });
}
