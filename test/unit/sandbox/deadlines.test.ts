import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Deadlines } from "../../../src/sandbox/deadlines.js";
import { systemClock } from "../../../src/util/clock.js";

const DAY = 24 * 3_600_000;

describe("deadlines, by the system's timers", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const begin = (opts: { idleTimeoutMs?: number; maxLifetimeMs?: number }) => {
    const reached = vi.fn<() => void>();
    const deadlines = new Deadlines({
      clock: systemClock,
      idleTimeoutMs: 0,
      maxLifetimeMs: 0,
      startedAtMs: Date.now(),
      onReached: reached,
      ...opts,
    });
    return { deadlines, reached };
  };

  it("of a day are reached after a day, with one timer and no look in between", () => {
    const { deadlines, reached } = begin({ idleTimeoutMs: DAY });
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(DAY - 1);
    expect(reached).not.toHaveBeenCalled();
    expect(deadlines.due).toBeUndefined();
    vi.advanceTimersByTime(1);
    expect(reached).toHaveBeenCalledTimes(1);
    expect(deadlines.due).toBe("idle-timeout");
  });

  it("of a hundred days are longer than one timer can be", () => {
    const { reached } = begin({ maxLifetimeMs: 100 * DAY });
    vi.advanceTimersByTime(100 * DAY - 1);
    expect(reached).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(reached).toHaveBeenCalledTimes(1);
  });

  it("of idleness wait for the last of what runs", () => {
    const { deadlines, reached } = begin({ idleTimeoutMs: DAY, maxLifetimeMs: 9 * DAY });
    const [one, two] = [deadlines.activity(), deadlines.activity()];
    vi.advanceTimersByTime(2 * DAY);
    one[Symbol.dispose]();
    one[Symbol.dispose]();
    vi.advanceTimersByTime(2 * DAY);
    expect(deadlines.nextMs).toBe(Date.now() + 5 * DAY);
    two[Symbol.dispose]();
    vi.advanceTimersByTime(DAY - 1);
    expect(reached).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(deadlines.due).toBe("idle-timeout");
  });

  it("leave no timer behind", () => {
    const { deadlines } = begin({ idleTimeoutMs: DAY });
    deadlines.end();
    deadlines.activity()[Symbol.dispose]();
    expect(vi.getTimerCount()).toBe(0);
    begin({});
    expect(vi.getTimerCount()).toBe(0);
  });
});
