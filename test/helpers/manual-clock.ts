/** A clock that stands still until a test moves it. */
import type { Clock } from "../../src/util/clock.js";

export class ManualClock implements Clock {
  #nowMs = Date.parse("2026-01-01T00:00:00Z");
  readonly #timers = new Set<{ readonly atMs: number; readonly work: () => void }>();

  now(): number {
    return this.#nowMs;
  }

  after(ms: number, work: () => void): () => void {
    const timer = { atMs: this.#nowMs + ms, work };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** Calls what is due on the way, each at its time. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const due = [...this.#timers]
        .filter(({ atMs }) => atMs <= untilMs)
        .toSorted((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.work();
    }
    this.#nowMs = untilMs;
  }
}
