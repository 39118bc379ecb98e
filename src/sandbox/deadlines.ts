/** When a running sandbox is to be stopped: it was idle for too long, or it has lived long enough. */
import type { Clock } from "../util/clock.js";

export type DeadlineReason = "idle-timeout" | "lifetime-reached";

export interface DeadlinesOpts {
  readonly clock: Clock;
  /** 0: never. */
  readonly idleTimeoutMs: number;
  readonly maxLifetimeMs: number;
  /** When it was last ready, milliseconds since 1970. */
  readonly startedAtMs: number;
  /** Told when the time has come. Whoever acts on it later looks at `due` again: the sandbox may be in use by then. */
  readonly onReached: () => void;
}

/** One timer, set to what comes next. */
export class Deadlines {
  readonly #opts: DeadlinesOpts;
  #lastUsedMs: number;
  #activities = 0;
  #callOff = (): void => {};
  #isOver = false;

  constructor(opts: DeadlinesOpts) {
    this.#opts = opts;
    this.#lastUsedMs = opts.clock.now();
    this.#arm();
  }

  /** While it is held the sandbox is not idle. */
  activity(): Disposable {
    this.#activities++;
    this.#arm();
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#activities--;
        this.#lastUsedMs = this.#opts.clock.now();
        this.#arm();
      },
    };
  }

  /** When it will be stopped if nothing happens, milliseconds since 1970; null for never. */
  get nextMs(): number | null {
    return this.#next()?.atMs ?? null;
  }

  /** Why it is to be stopped now; undefined when it is not. */
  get due(): DeadlineReason | undefined {
    const next = this.#next();
    return next !== undefined && next.atMs <= this.#opts.clock.now() ? next.reason : undefined;
  }

  end(): void {
    this.#isOver = true;
    this.#callOff();
  }

  #next(): { readonly atMs: number; readonly reason: DeadlineReason } | undefined {
    const { idleTimeoutMs, maxLifetimeMs, startedAtMs } = this.#opts;
    const idleAtMs =
      idleTimeoutMs > 0 && this.#activities === 0 ? this.#lastUsedMs + idleTimeoutMs : Infinity;
    const lifeAtMs = maxLifetimeMs > 0 ? startedAtMs + maxLifetimeMs : Infinity;
    if (idleAtMs === Infinity && lifeAtMs === Infinity) return undefined;
    return idleAtMs < lifeAtMs
      ? { atMs: idleAtMs, reason: "idle-timeout" }
      : { atMs: lifeAtMs, reason: "lifetime-reached" };
  }

  #arm(): void {
    this.#callOff();
    this.#callOff = () => {};
    const next = this.#next();
    if (this.#isOver || next === undefined) return;
    const { clock } = this.#opts;
    this.#callOff = clock.after(Math.max(0, next.atMs - clock.now()), () => {
      // The host's clock may have been set back.
      if (clock.now() < next.atMs) this.#arm();
      else this.#opts.onReached();
    });
  }
}
