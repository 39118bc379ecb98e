/** Writes the newest record of one sandbox; calls that come while one waits share it. */
import type { RecordStore } from "./record-store.js";
import type { SandboxRecord } from "./record.js";

export class RecordWriter {
  #tail: Promise<void> = Promise.resolve();
  #waiting: Promise<void> | undefined;
  #isEnded = false;

  constructor(
    private readonly store: Pick<RecordStore, "write">,
    private readonly current: () => SandboxRecord,
  ) {}

  /** Resolves when what is current now, or something newer, is on disk. Throws as `RecordStore.write`. */
  save(): Promise<void> {
    this.#waiting ??= this.#next();
    return this.#waiting;
  }

  /** Nothing is written any more, once this has resolved. */
  async end(): Promise<void> {
    this.#isEnded = true;
    await this.#tail;
  }

  /** It was not the end after all. */
  resume(): void {
    this.#isEnded = false;
  }

  #next(): Promise<void> {
    const written = this.#tail.then(async () => {
      this.#waiting = undefined;
      if (!this.#isEnded) await this.store.write(this.current());
    });
    this.#tail = written.catch(() => {});
    return written;
  }
}
