/** What a reader has not taken yet: bounded, so that a slow one loses entries and memory does not grow. */
export interface FollowQueueOpts<T> {
  readonly maxItems: number;
  /** Of all items together, by `sizeOf`. */
  readonly maxSize: number;
  readonly sizeOf: (item: T) => number;
  /** Stands where entries were left out. */
  readonly marker: (dropped: number) => T;
}

export class FollowQueue<T> {
  readonly #items: T[] = [];
  #size = 0;
  #dropped = 0;
  #isEnded = false;
  #wake: (() => void) | undefined;

  constructor(private readonly opts: FollowQueueOpts<T>) {}

  push(item: T): void {
    if (this.#isEnded) return;
    const { maxItems, maxSize, sizeOf } = this.opts;
    const size = sizeOf(item);
    const hasRoom = this.#items.length < maxItems && this.#size + size <= maxSize;
    if (hasRoom && this.#dropped === 0) {
      this.#items.push(item);
      this.#size += size;
    } else {
      this.#dropped++;
    }
    this.#wake?.();
  }

  /** Whoever reads gets what is there, then the end. */
  end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) {
        this.#size -= this.opts.sizeOf(item);
        yield item;
      } else if (this.#dropped > 0) {
        const dropped = this.#dropped;
        this.#dropped = 0;
        yield this.opts.marker(dropped);
      } else if (this.#isEnded) {
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = undefined;
      }
    }
  }
}
