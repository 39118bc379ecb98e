/** A signal that aborts with any of others, and lets go of them when it is not needed any more. */
import { setMaxListeners } from "node:events";

/**
 * In place of `AbortSignal.any`, which long-lived signals remember until garbage collection. Disposing it does not
 * abort it.
 */
export class LinkedAbort implements Disposable {
  readonly #controller = new AbortController();
  readonly #unlink: (() => void)[] = [];

  constructor(...signals: readonly (AbortSignal | undefined)[]) {
    for (const signal of signals) {
      if (signal === undefined) continue;
      const onAbort = (): void => this.#controller.abort(signal.reason);
      if (signal.aborted) onAbort();
      // Many at once are no leak: each goes with its work.
      setMaxListeners(0, signal);
      signal.addEventListener("abort", onAbort, { once: true });
      this.#unlink.push(() => signal.removeEventListener("abort", onAbort));
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  [Symbol.dispose](): void {
    for (const unlink of this.#unlink.splice(0)) unlink();
  }
}
