/** Small helpers for promises, signals and clocks. */
import { isMsbError, MsbError } from "../errors.js";

export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** A promise that is settled from outside. */
export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

/** Calls with the same key share one run of `work` while it is under way. */
export class SingleFlight<T> {
  readonly #running = new Map<string, Promise<T>>();

  run(key: string, work: () => Promise<T>): Promise<T> {
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const started = work().finally(() => this.#running.delete(key));
    this.#running.set(key, started);
    return started;
  }
}

/**
 * The result of `work`, or MSB_ERR_ABORTED as soon as `signal` aborts (an MsbError given as the
 * signal's reason is thrown itself). `what` begins the message.
 */
export async function abortable<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  what: string,
): Promise<T> {
  if (signal === undefined) return work;
  const aborted = deferred<never>();
  const onAbort = (): void => aborted.reject(abortReason(signal, what));
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  // When the signal wins nobody is left to hear how the work ended.
  work.catch(() => {});
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Throws MSB_ERR_ABORTED if `signal` was aborted. */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw abortReason(signal, what);
}

/** The MsbError for an aborted signal. */
export function abortReason(signal: AbortSignal, what: string): MsbError {
  if (isMsbError(signal.reason)) return signal.reason;
  return new MsbError("MSB_ERR_ABORTED", `${what} was aborted.`, { cause: signal.reason });
}

/** Waits for `work` at most `timeoutMs`; false when the time is up first. Errors of `work` are thrown. */
export async function settlesWithin(work: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs);
  });
  try {
    return await Promise.race([work.then(() => true), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
