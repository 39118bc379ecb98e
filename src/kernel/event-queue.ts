/** Events between a kernel, which writes as it likes, and the one who reads them. */
import { type Deferred, deferred } from "../util/async.js";

/** Beyond this the writer waits for the reader. */
const HIGH_WATER_BYTES = 256 * 1024;
/** What a writer that need not wait any more may add; it is told to stop, and soon does. */
const MAX_AFTER_RELEASE_BYTES = 8 * 1024 * 1024;
/** What an event takes besides its size: a guest that writes single bytes must not fill memory with them. */
const EVENT_BYTES = 128;

export class EventQueue<T> implements AsyncIterable<T> {
  #items: { readonly event: T; readonly sizeBytes: number }[] = [];
  #queuedBytes = 0;
  #isReleased = false;
  #isEnded = false;
  #failure: { readonly error: unknown } | undefined;
  #readerWaits: Deferred<void> | undefined;
  #writerWaits: Deferred<void> | undefined;

  /** What `isKept` is never dropped. */
  push(event: T, sizeBytes: number, opts: { isKept?: boolean } = {}): void {
    if (this.#isEnded) return;
    const isTooMuch = this.#isReleased && this.#queuedBytes > MAX_AFTER_RELEASE_BYTES;
    if (isTooMuch && opts.isKept !== true) return;
    const taken = EVENT_BYTES + sizeBytes;
    this.#items.push({ event, sizeBytes: taken });
    this.#queuedBytes += taken;
    this.#readerWaits?.resolve();
  }

  /** Waits until the reader has caught up, if it is expected to. */
  async room(): Promise<void> {
    while (!this.#isReleased && !this.#isEnded && this.#queuedBytes > HIGH_WATER_BYTES) {
      this.#writerWaits ??= deferred();
      await this.#writerWaits.promise;
    }
  }

  /** From now on the writer does not wait. */
  release(): void {
    this.#isReleased = true;
    this.#wakeWriter();
  }

  /** The reader ends after what is queued. */
  end(): void {
    this.#isEnded = true;
    this.#readerWaits?.resolve();
    this.#wakeWriter();
  }

  /** The reader throws `error`, with `now` in place of what is queued, else after it. Once. */
  fail(error: unknown, opts: { now?: boolean } = {}): void {
    if (this.#failure !== undefined || (this.#isEnded && !opts.now)) return;
    if (opts.now) this.#items = [];
    this.#failure = { error };
    this.end();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) {
        this.#queuedBytes -= item.sizeBytes;
        this.#wakeWriter();
        yield item.event;
      } else if (this.#isEnded) {
        if (this.#failure !== undefined) throw this.#failure.error;
        return;
      } else {
        this.#readerWaits = deferred();
        await this.#readerWaits.promise;
      }
    }
  }

  #wakeWriter(): void {
    this.#writerWaits?.resolve();
    this.#writerWaits = undefined;
  }
}
