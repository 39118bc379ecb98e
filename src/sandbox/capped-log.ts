/** A file that grows at its end and never beyond a limit: when it is full it becomes the old one, and a new one begins. */
import { appendFile, mkdir, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf } from "../util/file-error.js";
import { readSmallFile } from "../util/small-file.js";

export interface CappedLogOpts {
  readonly maxBytes?: number;
  /** Told once for each write that failed; the bytes are lost, whoever follows has them. */
  readonly onError?: (error: unknown) => void;
}

const DEFAULT_MAX_BYTES = 1024 ** 2;

export class CappedLog {
  readonly #path: string;
  readonly #oldPath: string;
  readonly #maxBytes: number;
  readonly #onError: (error: unknown) => void;
  readonly #followers = new Set<(bytes: Buffer) => void>();
  /** Reads and writes happen one after the other. */
  #tail: Promise<unknown> = Promise.resolve();
  #sizeBytes: number | undefined;

  constructor(path: string, opts: CappedLogOpts = {}) {
    this.#path = path;
    this.#oldPath = `${path}.1`;
    this.#maxBytes = opts.maxBytes ?? DEFAULT_MAX_BYTES;
    this.#onError = opts.onError ?? (() => {});
  }

  /** Resolves when it is written or cannot be; never rejects. */
  append(bytes: Buffer): Promise<void> {
    return this.#then(async () => {
      try {
        await this.#write(bytes);
      } catch (error) {
        this.#sizeBytes = undefined;
        this.#onError(error);
      }
      for (const follower of this.#followers) follower(bytes);
    });
  }

  /** What is kept, oldest first; at most two files of the limit. */
  read(): Promise<Buffer> {
    return this.#then(() => this.#kept());
  }

  /** What is kept, and from then on each append: none is missed, none comes twice. */
  follow(follower: (bytes: Buffer) => void): Promise<{ kept: Buffer; stop: () => void }> {
    return this.#then(async () => {
      const kept = await this.#kept();
      this.#followers.add(follower);
      return { kept, stop: () => this.#followers.delete(follower) };
    });
  }

  /** Waits for all that was appended. */
  async flush(): Promise<void> {
    await this.#then(async () => {});
  }

  #then<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work);
    this.#tail = done.catch(() => {});
    return done;
  }

  async #write(bytes: Buffer): Promise<void> {
    if (this.#sizeBytes === undefined) {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      this.#sizeBytes = (await stat(this.#path).catch(() => undefined))?.size ?? 0;
    }
    if (this.#sizeBytes > 0 && this.#sizeBytes + bytes.length > this.#maxBytes) {
      await rename(this.#path, this.#oldPath).catch(ignoreMissing);
      this.#sizeBytes = 0;
    }
    const kept = bytes.subarray(Math.max(0, bytes.length - this.#maxBytes));
    await appendFile(this.#path, kept, { mode: 0o600 });
    this.#sizeBytes += kept.length;
  }

  async #kept(): Promise<Buffer> {
    const parts = await Promise.all([this.#part(this.#oldPath), this.#part(this.#path)]);
    return Buffer.concat(parts);
  }

  async #part(path: string): Promise<Buffer> {
    const file = await readSmallFile(path, 2 * this.#maxBytes).catch(() => undefined);
    return file?.bytes ?? Buffer.alloc(0);
  }
}

function ignoreMissing(error: unknown): void {
  if (errnoOf(error) !== "ENOENT") throw error;
}
