/** Keys with which one leaves what fills the screen. */
import type { InputStream } from "./context.js";

/** q, Ctrl-C, Ctrl-D. */
const LEAVE = ["q", "Q", "\u0003", "\u0004"];

/** Until it is disposed of, a terminal's keys come at once and are not shown. */
export class LeaveKeys implements Disposable {
  readonly #stdin: InputStream;
  readonly #left = new AbortController();
  readonly #onData = (keys: Buffer | string): void => {
    const typed = keys.toString();
    if (LEAVE.some((key) => typed.includes(key))) this.#left.abort();
  };

  constructor(stdin: InputStream) {
    this.#stdin = stdin;
    stdin.setRawMode?.(true);
    stdin.on("data", this.#onData);
  }

  /** Aborts with the first of them. */
  get left(): AbortSignal {
    return this.#left.signal;
  }

  [Symbol.dispose](): void {
    this.#stdin.off("data", this.#onData);
    this.#stdin.setRawMode?.(false);
    this.#stdin.pause();
  }
}
