/** So many at a time, in the order of asking. */
import { abortable, type Deferred, deferred } from "./async.js";

export class Semaphore {
  #free: number;
  readonly #waiting: Deferred<void>[] = [];

  constructor(permits: number) {
    this.#free = permits;
  }

  /**
   * Waits for a turn and gives what ends it. `what` begins the message of MSB_ERR_ABORTED, which is thrown as soon as
   * the signal aborts.
   */
  async acquire(what: string, signal?: AbortSignal): Promise<Disposable> {
    if (this.#free > 0) {
      this.#free--;
      return this.#holder();
    }
    const turn = deferred<void>();
    this.#waiting.push(turn);
    try {
      await abortable(turn.promise, signal, what);
    } catch (error) {
      const at = this.#waiting.indexOf(turn);
      // Gone from the queue: the turn has come at the same moment, and goes to the next.
      if (at === -1) this.#pass();
      else this.#waiting.splice(at, 1);
      throw error;
    }
    return this.#holder();
  }

  #holder(): Disposable {
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (isHeld) this.#pass();
        isHeld = false;
      },
    };
  }

  #pass(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next.resolve();
  }
}
