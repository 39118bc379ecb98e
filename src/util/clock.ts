/** The time and timers, so that a test can be a day long. */

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls `work` after `ms`, however long that is; what it gives calls that off. Keeps no process alive. */
  after(ms: number, work: () => void): () => void;
}

/** What `setTimeout` holds; longer ones fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  after: (ms, work) => {
    let timer: NodeJS.Timeout;
    const arm = (restMs: number): void => {
      const next = restMs > MAX_TIMER_MS ? () => arm(restMs - MAX_TIMER_MS) : work;
      timer = setTimeout(next, Math.min(restMs, MAX_TIMER_MS)).unref();
    };
    arm(Math.max(0, ms));
    return () => clearTimeout(timer);
  },
};
