/** One at a time for each key, within this process, in the order of asking. */
import { abortable, type Deferred, deferred } from "./async.js";

export class KeyedMutex {
  /** Who waits, by key; a key is there while somebody holds it. */
  readonly #waiting = new Map<string, Deferred<void>[]>();

  /**
   * Waits for the turn and gives what ends it. `what` begins the message of MSB_ERR_ABORTED, which is thrown as
   * soon as the signal aborts.
   */
  async lock(key: string, what: string, signal?: AbortSignal): Promise<Disposable> {
    const queue = this.#waiting.get(key);
    if (queue === undefined) {
      this.#waiting.set(key, []);
      return this.#holder(key);
    }
    const turn = deferred<void>();
    queue.push(turn);
    try {
      await abortable(turn.promise, signal, what);
    } catch (error) {
      const at = queue.indexOf(turn);
      // Gone from the queue: the turn has come at the same moment, and goes to the next.
      if (at === -1) this.#pass(key);
      else queue.splice(at, 1);
      throw error;
    }
    return this.#holder(key);
  }

  isLocked(key: string): boolean {
    return this.#waiting.has(key);
  }

  #holder(key: string): Disposable {
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (isHeld) this.#pass(key);
        isHeld = false;
      },
    };
  }

  #pass(key: string): void {
    const next = this.#waiting.get(key)?.shift();
    if (next === undefined) this.#waiting.delete(key);
    else next.resolve();
  }
}
