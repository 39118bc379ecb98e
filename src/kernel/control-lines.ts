/** The lines of a control channel, from bytes that the user's code may have written. */

/** A longer line is none of a kernel's. */
export const MAX_KERNEL_LINE_BYTES = 16 * 1024 * 1024;
/** A buffer of more is given away with its line, so that an idle kernel costs little. */
const KEPT_BUFFER_BYTES = 64 * 1024;
const LINE_FEED = 0x0a;

/**
 * Cuts bytes into lines. Each line feed begins anew, whatever came before it; a line that is too long is dropped up
 * to its end. Holds one line at most.
 */
export class ControlLines {
  #buffer = Buffer.alloc(0);
  #length = 0;
  #isTooLong = false;

  constructor(private readonly maxLineBytes = MAX_KERNEL_LINE_BYTES) {}

  /** Calls `onLine` for each line that ends in `chunk` and is not empty; its bytes are valid during the call only. */
  push(chunk: Buffer, onLine: (line: Buffer) => void): void {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(LINE_FEED, start);
      if (end < 0) break;
      this.#finish(chunk.subarray(start, end), onLine);
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
  }

  #finish(last: Buffer, onLine: (line: Buffer) => void): void {
    let line = last;
    if (this.#length > 0) {
      this.#keep(last);
      line = this.#buffer.subarray(0, this.#length);
    }
    const isUsable = !this.#isTooLong && line.length > 0 && line.length <= this.maxLineBytes;
    if (this.#buffer.length > KEPT_BUFFER_BYTES) this.#buffer = Buffer.alloc(0);
    this.#length = 0;
    this.#isTooLong = false;
    if (isUsable) onLine(line);
  }

  #keep(bytes: Buffer): void {
    if (this.#isTooLong || bytes.length === 0) return;
    const length = this.#length + bytes.length;
    if (length > this.maxLineBytes) {
      this.#isTooLong = true;
      this.#buffer = Buffer.alloc(0);
      this.#length = 0;
      return;
    }
    if (length > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.min(this.maxLineBytes, Math.max(4096, 2 * length)));
      this.#buffer.copy(grown, 0, 0, this.#length);
      this.#buffer = grown;
    }
    bytes.copy(this.#buffer, this.#length);
    this.#length = length;
  }
}
