import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { deadline } from "../../../../src/oci/registry/deadline.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("when the time is up the reason says so", () => {
  using limit = deadline(5_000, "The manifest", undefined);
  vi.advanceTimersByTime(4_999);
  expect(limit.signal.aborted).toBe(false);
  vi.advanceTimersByTime(1);
  expect(limit.signal.reason).toMatchObject({
    code: "MSB_ERR_REGISTRY_UNAVAILABLE",
    message: expect.stringContaining("The manifest did not come within 5 s") as string,
  });
});

test("the caller's signal ends it with its own reason, before or after", () => {
  const controller = new AbortController();
  using later = deadline(5_000, "x", controller.signal);
  controller.abort("why");
  using before = deadline(5_000, "x", controller.signal);
  expect([later.signal.reason, before.signal.reason]).toEqual(["why", "why"]);
});

test("nothing is left of it", () => {
  const controller = new AbortController();
  const limit = deadline(5_000, "x", controller.signal);
  limit[Symbol.dispose]();
  expect(vi.getTimerCount()).toBe(0);
  controller.abort();
  expect(limit.signal.aborted).toBe(false);
});
