/** A screen of its own on a terminal, drawn again and again; at the end the terminal shows what it showed before. */
import type { OutputStream } from "./context.js";

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
const TOP = "\u001b[H";
const ERASE_LINE_END = "\u001b[K";
const ERASE_BELOW = "\u001b[J";
const DEFAULT_ROWS = 24;
const DEFAULT_COLUMNS = 80;

export class LiveScreen implements Disposable {
  readonly #stream: OutputStream;
  #isEntered = false;
  #isLeft = false;
  /** Also when the process ends without a word. */
  readonly #onExit = (): void => this[Symbol.dispose]();

  constructor(stream: OutputStream) {
    this.#stream = stream;
  }

  /** Lines must be safe to print. What does not fit is cut off. */
  draw(lines: readonly string[]): void {
    if (this.#isLeft) return;
    if (!this.#isEntered) {
      this.#isEntered = true;
      process.once("exit", this.#onExit);
      this.#stream.write(ENTER);
    }
    // The last row and column stay free: terminals scroll or wrap there.
    const rows = (this.#stream.rows || DEFAULT_ROWS) - 1;
    const columns = (this.#stream.columns || DEFAULT_COLUMNS) - 1;
    const shown = lines.slice(0, rows).map((line) => `${line.slice(0, columns)}${ERASE_LINE_END}`);
    this.#stream.write(`${TOP}${shown.join("\r\n")}${ERASE_BELOW}`);
  }

  [Symbol.dispose](): void {
    if (!this.#isEntered || this.#isLeft) return;
    this.#isLeft = true;
    process.off("exit", this.#onExit);
    this.#stream.write(LEAVE);
  }
}
