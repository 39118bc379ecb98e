/**
 * A blob that is being written: a file under a lock, with the digest of what it has so far. Whoever holds the lock
 * owns the file; a file without a lock belongs to nobody and may be taken up or removed by anyone.
 */
import { createHash, type Hash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, rm, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { isMsbError, MsbError } from "../../errors.js";
import { FileLock } from "../../native/file-lock.js";
import { throwIfAborted } from "../../util/async.js";
import { moveIntoPlace } from "../../util/atomic-file.js";
import { fileError } from "../../util/file-error.js";
import { KeyedMutex } from "../../util/keyed-mutex.js";

/** Writes are gathered to this size: the network hands out a few KiB at a time. */
const WRITE_BYTES = 256 * 1024;
const READ_BYTES = 1024 * 1024;

/** In front of the lock between processes, so that a process never has more than one thread wait for a file. */
const turns = new KeyedMutex();

export interface OpenPartialOpts {
  /** Called when somebody else is at work on the file, before waiting for it. */
  readonly onWait?: () => void;
  readonly signal?: AbortSignal | undefined;
}

export class PartialFile implements AsyncDisposable {
  #hash: Hash;
  #sizeBytes = 0;
  /** Received and counted, not yet written. */
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  /** The file was renamed or removed. */
  #isGone = false;

  private constructor(
    readonly path: string,
    private readonly algorithm: string,
    private readonly file: FileHandle,
    private readonly lock: FileLock,
    private readonly turn: Disposable,
  ) {
    this.#hash = createHash(algorithm);
  }

  /**
   * Makes the file or takes over one that was left, whose content counts only after `readExisting`. Throws
   * MSB_ERR_ABORTED, MSB_ERR_NO_SPACE, MSB_ERR_HOME_UNUSABLE.
   */
  static async open(
    path: string,
    algorithm: string,
    opts: OpenPartialOpts = {},
  ): Promise<PartialFile> {
    return PartialFile.#openLocked(path, algorithm, await lockPartial(path, opts));
  }

  /** The same, or undefined when somebody is at work on the file. */
  static async tryOpen(path: string, algorithm: string): Promise<PartialFile | undefined> {
    if (turns.isLocked(path)) return undefined;
    const turn = await turns.lock(path, `Opening ${path}`);
    try {
      await makeFolderOf(path);
      const lock = await FileLock.tryAcquire(path, "exclusive");
      if (lock !== undefined) return await PartialFile.#openLocked(path, algorithm, { lock, turn });
    } catch (error) {
      turn[Symbol.dispose]();
      throw error;
    }
    turn[Symbol.dispose]();
    return undefined;
  }

  static async #openLocked(
    path: string,
    algorithm: string,
    { lock, turn }: { lock: FileLock; turn: Disposable },
  ): Promise<PartialFile> {
    try {
      const file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
      return new PartialFile(path, algorithm, file, lock, turn);
    } catch (error) {
      await lock.release();
      turn[Symbol.dispose]();
      throw fileError(error, path, "opened");
    }
  }

  /** Bytes taken so far. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Lower-case hex, of all bytes taken so far. */
  hex(): string {
    return this.#hash.copy().digest("hex");
  }

  /** Takes what is in the file already; throws it away if it is more than `maxBytes`. */
  async readExisting(maxBytes: number, signal?: AbortSignal): Promise<void> {
    try {
      const { size } = await this.file.stat();
      if (size > maxBytes) return await this.restart();
      const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, Math.max(size, 1)));
      while (this.#sizeBytes < size) {
        throwIfAborted(signal, `Reading ${this.path}`);
        const { bytesRead } = await this.file.read(buffer, 0, buffer.length, this.#sizeBytes);
        if (bytesRead === 0) break;
        this.#hash.update(buffer.subarray(0, bytesRead));
        this.#sizeBytes += bytesRead;
      }
    } catch (error) {
      throw fileError(error, this.path, "read");
    }
  }

  /** `chunk` belongs to the file from now on. */
  async append(chunk: Uint8Array): Promise<void> {
    this.#hash.update(chunk);
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    this.#sizeBytes += chunk.length;
    if (this.#pendingBytes >= WRITE_BYTES) await this.flush();
  }

  /** Throws MSB_ERR_NO_SPACE, and then has nothing left. */
  async flush(): Promise<void> {
    if (this.#pendingBytes === 0) return;
    const bytes = this.#pending.length === 1 ? this.#pending[0]! : Buffer.concat(this.#pending);
    let at = this.#sizeBytes - this.#pendingBytes;
    this.#pending = [];
    this.#pendingBytes = 0;
    try {
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await this.file.write(bytes, done, bytes.length - done, at);
        done += bytesWritten;
        at += bytesWritten;
      }
    } catch (error) {
      const translated = fileError(error, this.path, "written");
      // A full disk is everybody's trouble: it gets its space back, at the price of starting anew.
      if (isMsbError(translated, "MSB_ERR_NO_SPACE")) await this.restart().catch(() => {});
      throw translated;
    }
  }

  /** Forgets everything. */
  async restart(): Promise<void> {
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#sizeBytes = 0;
    this.#hash = createHash(this.algorithm);
    await this.file.truncate(0).catch((error: unknown) => {
      throw fileError(error, this.path, "written");
    });
  }

  /** Throws MSB_ERR_NO_SPACE when so many more bytes do not fit, before any of them was fetched. */
  async checkSpace(bytes: number): Promise<void> {
    const info = await statfs(this.path).catch(() => undefined);
    const freeBytes = info === undefined ? Number.POSITIVE_INFINITY : info.bavail * info.bsize;
    if (bytes <= freeBytes) return;
    throw new MsbError(
      "MSB_ERR_NO_SPACE",
      `${bytes} bytes are still to be written to ${this.path} and ${freeBytes} are free there. Free space in ` +
        `${dirname(this.path)}, or set MSB_HOME to a folder with more.`,
      { details: { path: this.path, neededBytes: bytes, freeBytes } },
    );
  }

  /** Makes the content durable, then gives the file its final name, in place of what has it. */
  async place(path: string): Promise<void> {
    await this.flush();
    try {
      await this.file.sync();
      await mkdir(dirname(path), { recursive: true });
      await moveIntoPlace(this.path, path);
      this.#isGone = true;
    } catch (error) {
      throw fileError(error, path, "written");
    }
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true }).catch((error: unknown) => {
      throw fileError(error, this.path, "removed");
    });
    this.#isGone = true;
  }

  /** Lets the file go. What was written stays, to go on with; a file with nothing in it does not. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (!this.#isGone && (await this.file.stat()).size === 0) await this.remove();
    } finally {
      await this.file.close().catch(() => {});
      await this.lock.release();
      this.turn[Symbol.dispose]();
    }
  }
}

async function lockPartial(
  path: string,
  { onWait, signal }: OpenPartialOpts,
): Promise<{ lock: FileLock; turn: Disposable }> {
  let hasTold = false;
  const tell = (): void => {
    if (!hasTold) onWait?.();
    hasTold = true;
  };
  if (turns.isLocked(path)) tell();
  const turn = await turns.lock(path, `Waiting for ${path}`, signal);
  try {
    await makeFolderOf(path);
    const free = await FileLock.tryAcquire(path, "exclusive");
    if (free !== undefined) return { lock: free, turn };
    tell();
    return { lock: await FileLock.acquire(path, "exclusive", { signal }), turn };
  } catch (error) {
    turn[Symbol.dispose]();
    throw error;
  }
}

async function makeFolderOf(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true }).catch((error: unknown) => {
    throw fileError(error, dirname(path), "made");
  });
}
