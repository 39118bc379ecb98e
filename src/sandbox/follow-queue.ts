/** What a reader has not taken yet: bounded, so that a slow one loses entries and memory does not grow. */
export class FollowQueue<T> {
  readonly #items: T[] = [];
  #dropped = 0;
  #isEnded = false;
  #wake: (() => void) | undefined;

  constructor(
    private readonly limit: number,
    /** Stands where entries were left out. */
    private readonly marker: (dropped: number) => T,
  ) {}

  push(item: T): void {
    if (this.#isEnded) return;
    if (this.#items.length < this.limit && this.#dropped === 0) this.#items.push(item);
    else this.#dropped++;
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
        yield item;
      } else if (this.#dropped > 0) {
        const dropped = this.#dropped;
        this.#dropped = 0;
        yield this.marker(dropped);
      } else if (this.#isEnded) {
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = undefined;
      }
    }
  }
}
