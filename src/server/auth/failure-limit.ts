/**
 * Slows down who tries credentials that are not valid. Good ones are never slowed: many callers may share one address,
 * and verifying costs less than counting. Memory is bounded: addresses beyond a number share one count.
 */
import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import { MsbError } from "../../errors.js";
import { addressGroup } from "./address-group.js";

export interface FailureLimitOpts {
  /** So many failures an address has in a window. Default 20. */
  readonly failures?: number;
  /** Default 60. */
  readonly windowS?: number;
  /** Addresses that are counted each by itself, in a window. Default 10000. */
  readonly addresses?: number;
}

const ALL_OTHERS = "others";

export class FailureLimit {
  readonly #failures: RateLimiterMemory;
  readonly #addresses: RateLimiterMemory;

  constructor(opts: FailureLimitOpts = {}) {
    const { failures = 20, windowS = 60, addresses = 10_000 } = opts;
    this.#failures = new RateLimiterMemory({ points: failures, duration: windowS });
    this.#addresses = new RateLimiterMemory({ points: addresses, duration: windowS });
  }

  /** Counts one failure. Throws MSB_ERR_RATE_LIMITED (details: retryAfterSeconds) when there were too many. */
  async count(remoteAddress: string): Promise<void> {
    const retryAfterMs = await consume(
      this.#failures,
      await this.#countedAs(addressGroup(remoteAddress)),
    );
    if (retryAfterMs === 0) return;
    const retryAfterSeconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
    throw new MsbError(
      "MSB_ERR_RATE_LIMITED",
      `Too many requests with credentials that are not valid; try again in ${retryAfterSeconds} s.`,
      { details: { retryAfterSeconds } },
    );
  }

  async #countedAs(group: string): Promise<string> {
    if ((await this.#failures.get(group)) !== null) return group;
    return (await consume(this.#addresses, "new")) === 0 ? group : ALL_OTHERS;
  }
}

/** 0, or after how many milliseconds it is possible again. */
async function consume(limiter: RateLimiterMemory, key: string): Promise<number> {
  try {
    await limiter.consume(key);
    return 0;
  } catch (result) {
    if (result instanceof RateLimiterRes) return Math.max(1, result.msBeforeNext);
    throw result;
  }
}
