/** Trying again what may succeed unchanged: exponential backoff with jitter, a server's Retry-After before it. */
import { setTimeout as delay } from "node:timers/promises";
import { isMsbError, type MsbError } from "../../errors.js";
import { abortReason, throwIfAborted } from "../../util/async.js";

/** What tests replace, so that they need not wait. */
export interface Clock {
  /** Milliseconds since any fixed point. */
  now(): number;
  /** Rejects when `signal` aborts. */
  sleep(ms: number, signal: AbortSignal | undefined): Promise<void>;
  /** 0 to 1. */
  random(): number;
}

export const SYSTEM_CLOCK: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) => delay(ms, undefined, signal === undefined ? {} : { signal }),
  random: () => Math.random(),
};

export interface RetryPolicy {
  /** All tries together. */
  readonly attempts: number;
  /** The first pause; each further one is twice as long. */
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
  /** A server that asks for more patience gets this much. */
  readonly maxRetryAfterMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = {
  attempts: 5,
  baseDelayMs: 400,
  maxDelayMs: 10_000,
  maxRetryAfterMs: 30_000,
};

export interface Retry {
  /** What is tried again, for people. */
  readonly what: string;
  /** The failed try, from 1. */
  readonly attempt: number;
  readonly attempts: number;
  readonly delayMs: number;
  readonly error: MsbError;
}

export type OnRetry = (retry: Retry) => void;

export interface RetryOpts {
  readonly what: string;
  readonly policy: RetryPolicy;
  readonly clock: Clock;
  readonly onRetry?: OnRetry | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The result of `work`; tried again while it throws an error that is retryable. The last error is thrown. */
export async function withRetry<T>(work: () => Promise<T>, opts: RetryOpts): Promise<T> {
  const { what, policy, clock, signal } = opts;
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(signal, what);
    try {
      return await work();
    } catch (error) {
      if (attempt >= policy.attempts || !isWorthRetrying(error)) throw error;
      const delayMs = delayAfter(error, attempt, policy, clock);
      opts.onRetry?.({ what, attempt, attempts: policy.attempts, delayMs, error });
      await clock.sleep(delayMs, signal).catch((sleepError: unknown) => {
        throw signal?.aborted ? abortReason(signal, what) : sleepError;
      });
    }
  }
}

function isWorthRetrying(error: unknown): error is MsbError {
  // A name that DNS does not know is a typing error far more often than a passing fault (that is EAI_AGAIN).
  return isMsbError(error) && error.retryable && error.details["errno"] !== "ENOTFOUND";
}

function delayAfter(error: MsbError, attempt: number, policy: RetryPolicy, clock: Clock): number {
  const asked = error.details["retryAfterMs"];
  if (typeof asked === "number") return Math.min(asked, policy.maxRetryAfterMs);
  const full = Math.min(policy.baseDelayMs * 2 ** (attempt - 1), policy.maxDelayMs);
  // Half of it is left to chance, so that many clients do not come back at once.
  return Math.round(full * (0.5 + clock.random() / 2));
}

/** A Retry-After header (RFC 9110, section 10.2.3) in milliseconds; undefined when it says nothing. */
export function parseRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  // HTTP dates only: Date.parse takes far more than that.
  if (!/^[A-Z][a-z]{2,8}, \d{2}[ -][A-Z][a-z]{2}[ -]\d{2,4} [\d:]{8} GMT$/.test(header)) {
    return undefined;
  }
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}
