/** Reads a stream of chunks by counts of bytes. */
export class ByteReader {
  readonly #source: AsyncIterator<Buffer>;
  #chunk: Buffer = Buffer.alloc(0);
  #isAtEnd = false;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** `count` bytes; undefined when the stream ends before the first, and an error when it ends between. */
  async read(count: number): Promise<Buffer | undefined> {
    if (this.#chunk.length >= count) return this.#take(count);
    const parts: Buffer[] = [];
    let missing = count;
    while (missing > 0) {
      const part = await this.next(missing);
      if (part === undefined) {
        if (parts.length === 0) return undefined;
        throw new RangeError(`it ends ${missing} bytes too early`);
      }
      parts.push(part);
      missing -= part.length;
    }
    return Buffer.concat(parts, count);
  }

  /** What there is, at least one byte and at most `limit`; undefined at the end. No copy. */
  async next(limit: number): Promise<Buffer | undefined> {
    while (this.#chunk.length === 0) {
      if (this.#isAtEnd) return undefined;
      const next = await this.#source.next();
      if (next.done === true) this.#isAtEnd = true;
      else this.#chunk = next.value;
    }
    return this.#take(Math.min(limit, this.#chunk.length));
  }

  /** Passes over `count` bytes; returns how many of them were missing because the stream ended. */
  async skip(count: number): Promise<number> {
    let missing = count;
    while (missing > 0) {
      const part = await this.next(missing);
      if (part === undefined) return missing;
      missing -= part.length;
    }
    return 0;
  }

  /** Reads to the end, so that whoever checks the stream has seen all of it. */
  async drain(): Promise<void> {
    while ((await this.next(Number.MAX_SAFE_INTEGER)) !== undefined);
  }

  /** Tells the source that no more is wanted. */
  async close(): Promise<void> {
    this.#isAtEnd = true;
    this.#chunk = Buffer.alloc(0);
    await this.#source.return?.();
  }

  #take(count: number): Buffer {
    const taken = this.#chunk.subarray(0, count);
    this.#chunk = this.#chunk.subarray(count);
    return taken;
  }
}
