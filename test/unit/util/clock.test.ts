import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemClock } from "../../../src/util/clock.js";

/** Longer than a timer of Node.js can wait. */
const HUNDRED_DAYS_MS = 100 * 24 * 3600 * 1000;

describe("the system's clock", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("tells the time", () => {
    vi.setSystemTime(1_234);
    expect(systemClock.now()).toBe(1_234);
  });

  it.each([1, 2 ** 31 - 1, 2 ** 31, HUNDRED_DAYS_MS])("calls once, after %d ms", (ms) => {
    const work = vi.fn<() => void>();
    systemClock.after(ms, work);
    vi.advanceTimersByTime(ms - 1);
    expect(work).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(work).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(HUNDRED_DAYS_MS);
    expect(work).toHaveBeenCalledTimes(1);
  });

  it.each([0, -5_000])("takes a time that has come or passed for now: %d ms", (ms) => {
    const work = vi.fn<() => void>();
    systemClock.after(ms, work);
    vi.advanceTimersByTime(1);
    expect(work).toHaveBeenCalledTimes(1);
  });

  it.each([10, HUNDRED_DAYS_MS])("calls nothing that was called off, of %d ms", (ms) => {
    const work = vi.fn<() => void>();
    const callOff = systemClock.after(ms, work);
    vi.advanceTimersByTime(ms - 1);
    callOff();
    vi.advanceTimersByTime(HUNDRED_DAYS_MS);
    expect(work).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });
});
