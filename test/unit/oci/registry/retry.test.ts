import { describe, expect, it, test } from "vitest";
import { MsbError } from "../../../../src/errors.js";
import {
  type Clock,
  DEFAULT_RETRY,
  parseRetryAfter,
  type Retry,
  type RetryOpts,
  SYSTEM_CLOCK,
  withRetry,
} from "../../../../src/oci/registry/retry.js";

const unavailable = (details = {}) =>
  new MsbError("MSB_ERR_REGISTRY_UNAVAILABLE", "not now", { details });

function fakeClock(random = 1): Clock & { readonly slept: number[] } {
  const slept: number[] = [];
  return {
    slept,
    now: () => 0,
    random: () => random,
    sleep: (ms) => {
      slept.push(ms);
      return Promise.resolve();
    },
  };
}

const optsWith = (clock: Clock, more: Partial<RetryOpts> = {}): RetryOpts => ({
  what: "It",
  policy: { attempts: 6, baseDelayMs: 100, maxDelayMs: 1000, maxRetryAfterMs: 5000 },
  clock,
  ...more,
});

/** Fails with each of `errors` in turn, then gives how often it was called. */
function failing(...errors: readonly Error[]): () => Promise<number> {
  let calls = 0;
  return () => {
    const error = errors[calls++];
    return error === undefined ? Promise.resolve(calls) : Promise.reject(error);
  };
}

describe("withRetry", () => {
  it("pauses twice as long each time, up to the limit, with half of it left to chance", async () => {
    const work = () => failing(...Array.from({ length: 5 }, () => unavailable()));
    const longest = fakeClock(1);
    expect(await withRetry(work(), optsWith(longest))).toBe(6);
    expect(longest.slept).toEqual([100, 200, 400, 800, 1000]);
    const shortest = fakeClock(0);
    await withRetry(work(), optsWith(shortest));
    expect(shortest.slept).toEqual([50, 100, 200, 400, 500]);
  });

  it("does as the server asks, within reason", async () => {
    const clock = fakeClock();
    const errors = [0, 3000, 9_999_999].map((retryAfterMs) => unavailable({ retryAfterMs }));
    await withRetry(failing(...errors), optsWith(clock));
    expect(clock.slept).toEqual([0, 3000, 5000]);
  });

  it("gives up with the last error, and tells of each try before", async () => {
    const retries: Retry[] = [];
    const errors = Array.from({ length: 6 }, (_, n) => unavailable({ n }));
    const opts = optsWith(fakeClock(), { onRetry: (retry) => retries.push(retry) });
    await expect(withRetry(failing(...errors), opts)).rejects.toBe(errors[5]);
    expect(retries.map(({ attempt, delayMs }) => [attempt, delayMs])).toEqual([
      [1, 100],
      [2, 200],
      [3, 400],
      [4, 800],
      [5, 1000],
    ]);
    expect(retries[0]).toMatchObject({ what: "It", attempts: 6, error: errors[0] });
  });

  it.each([
    new MsbError("MSB_ERR_REGISTRY_AUTH", "no"),
    new MsbError("MSB_ERR_IMAGE_NOT_FOUND", "no"),
    new MsbError("MSB_ERR_DIGEST_MISMATCH", "no"),
    unavailable({ errno: "ENOTFOUND" }),
    new Error("a bug"),
  ])("does not try again what will not change: %s", async (error) => {
    const clock = fakeClock();
    await expect(withRetry(failing(error), optsWith(clock))).rejects.toBe(error);
    expect(clock.slept).toEqual([]);
  });

  it("ends its pause when the caller does not want it any more", async () => {
    const controller = new AbortController();
    const opts = optsWith(SYSTEM_CLOCK, {
      policy: { ...DEFAULT_RETRY, baseDelayMs: 3_600_000, maxDelayMs: 3_600_000 },
      signal: controller.signal,
      onRetry: () => queueMicrotask(() => controller.abort()),
    });
    await expect(withRetry(failing(unavailable()), opts)).rejects.toMatchObject({
      code: "MSB_ERR_ABORTED",
    });
    const again = withRetry(failing(), opts);
    await expect(again).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
  });
});

test.each([
  ["0", 0],
  ["120", 120_000],
  ["Thu, 01 Jan 1970 00:01:00 GMT", 50_000],
  ["Thursday, 01-Jan-70 00:01:00 GMT", 50_000],
  ["Thu, 01 Jan 1970 00:00:01 GMT", 0],
  ["-1", undefined],
  ["1.5", undefined],
  ["1e9", undefined],
  ["99999999999999999999", undefined],
  ["soon", undefined],
  ["2999", 2_999_000],
  ["Thu, 99 Jan 1970 00:01:00 GMT", undefined],
  ["", undefined],
  [undefined, undefined],
])("Retry-After %j is %s", (header, ms) => expect(parseRetryAfter(header, 10_000)).toBe(ms));
