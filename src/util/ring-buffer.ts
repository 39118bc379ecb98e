/** The last bytes of an endless stream, in constant memory. */
export class RingBuffer {
  readonly #bytes: Buffer;
  #next = 0;
  #isFull = false;

  constructor(capacityBytes: number) {
    this.#bytes = Buffer.alloc(capacityBytes);
  }

  push(chunk: Uint8Array): void {
    const capacity = this.#bytes.length;
    const kept = chunk.subarray(Math.max(0, chunk.length - capacity));
    const untilEnd = Math.min(kept.length, capacity - this.#next);
    this.#bytes.set(kept.subarray(0, untilEnd), this.#next);
    this.#bytes.set(kept.subarray(untilEnd), 0);
    this.#isFull ||= this.#next + kept.length >= capacity;
    this.#next = (this.#next + kept.length) % capacity;
  }

  /** What is kept, oldest first; bytes that are not UTF-8 become U+FFFD. */
  toString(): string {
    const newest = this.#bytes.subarray(0, this.#next);
    return (
      this.#isFull ? Buffer.concat([this.#bytes.subarray(this.#next), newest]) : newest
    ).toString("utf8");
  }
}
