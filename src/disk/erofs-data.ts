/**
 * The data of files on an EROFS disk that is being made: whole blocks go to the disk as they come, what is left
 * of a file's last block goes to a spool until its inode is written. Nothing is kept in memory but two buffers.
 */
import type { FileHandle } from "node:fs/promises";
import { EROFS_BLOCK_BYTES } from "./erofs-format.js";

const BUFFER_BYTES = 1024 ** 2;
const ZERO_BLOCK = Buffer.alloc(EROFS_BLOCK_BYTES);

/** Where a file's bytes are. Blocks are counted from the beginning of the disk. */
export interface FileContent {
  readonly sizeBytes: number;
  /** The first of `blockCount` blocks; moves when the disk is closed up. */
  block: number;
  readonly blockCount: number;
  /** Bytes of the last block that are not in those blocks but in the spool, at this offset. */
  readonly tail: { readonly offset: number; readonly length: number } | null;
}

/** Collects small writes; one write is under way while the next buffer fills. */
class BufferedFile {
  readonly #file: FileHandle;
  readonly #skipsZeros: boolean;
  #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #spare = Buffer.allocUnsafe(BUFFER_BYTES);
  #used = 0;
  #offset: number;
  #writing: Promise<void> = Promise.resolve();

  constructor(file: FileHandle, opts: { offset: number; skipsZeros: boolean }) {
    this.#file = file;
    this.#offset = opts.offset;
    this.#skipsZeros = opts.skipsZeros;
  }

  /** Where the next byte goes. */
  get position(): number {
    return this.#offset + this.#used;
  }

  /** The last `count` bytes that were written; they must not have been flushed. */
  last(count: number): Buffer {
    return this.#buffer.subarray(this.#used - count, this.#used);
  }

  /** Takes the last `count` bytes back. */
  rewind(count: number): void {
    this.#used -= count;
  }

  async write(bytes: Buffer): Promise<void> {
    let at = 0;
    while (at < bytes.length) {
      const copied = bytes.copy(this.#buffer, this.#used, at);
      at += copied;
      this.#used += copied;
      if (this.#used === BUFFER_BYTES) await this.flush();
    }
  }

  /** Leaves a hole of zeros. The position must be at a block, `count` whole blocks. */
  async skip(count: number): Promise<void> {
    await this.flush();
    this.#offset += count;
  }

  /** Hands the buffer to the system; an error of the write before is thrown here. */
  async flush(): Promise<void> {
    await this.#writing;
    if (this.#used === 0) return;
    const bytes = this.#buffer.subarray(0, this.#used);
    const offset = this.#offset;
    [this.#buffer, this.#spare] = [this.#spare, this.#buffer];
    this.#offset += this.#used;
    this.#used = 0;
    this.#writing = this.#put(bytes, offset);
    // Thrown at the next flush.
    this.#writing.catch(() => {});
  }

  async finish(): Promise<void> {
    await this.flush();
    await this.#writing;
  }

  async #put(bytes: Buffer, offset: number): Promise<void> {
    if (!this.#skipsZeros) return writeFully(this.#file, bytes, offset);
    let begin = 0;
    while (begin < bytes.length) {
      let end = begin;
      while (end < bytes.length && !isZeroBlock(bytes, end)) end += EROFS_BLOCK_BYTES;
      await writeFully(this.#file, bytes.subarray(begin, end), offset + begin);
      begin = end;
      while (begin < bytes.length && isZeroBlock(bytes, begin)) begin += EROFS_BLOCK_BYTES;
    }
  }
}

export class ErofsData {
  readonly #disk: BufferedFile;
  readonly #spool: BufferedFile;
  readonly #spoolFile: FileHandle;
  readonly #contents: FileContent[] = [];
  #open: { sizeBytes: number; start: number; tailRoom: number } | undefined;

  /** `disk` is written from `firstBlock` on; both files must be empty and readable. */
  constructor(disk: FileHandle, spool: FileHandle, firstBlock: number) {
    const offset = firstBlock * EROFS_BLOCK_BYTES;
    this.#disk = new BufferedFile(disk, { offset, skipsZeros: true });
    this.#spool = new BufferedFile(spool, { offset: 0, skipsZeros: false });
    this.#spoolFile = spool;
  }

  /** In the order of their blocks. */
  get contents(): readonly FileContent[] {
    return this.#contents;
  }

  /** The first block behind all data. */
  get endBlock(): number {
    return this.#disk.position / EROFS_BLOCK_BYTES;
  }

  /**
   * Begins a file of exactly `sizeBytes`. `tailRoom` is how much of its last block its inode can take in; a
   * longer rest gets a block of its own.
   */
  begin(sizeBytes: number, tailRoom: number): void {
    this.#open = { sizeBytes, start: this.#disk.position, tailRoom };
  }

  write(bytes: Buffer): Promise<void> {
    return this.#disk.write(bytes);
  }

  /** The same as writing `count` zeros, without writing most of them. */
  async writeZeros(count: number): Promise<void> {
    const toBlock = Math.min(count, -this.#disk.position & (EROFS_BLOCK_BYTES - 1));
    await this.#disk.write(ZERO_BLOCK.subarray(0, toBlock));
    const rest = (count - toBlock) % EROFS_BLOCK_BYTES;
    const whole = count - toBlock - rest;
    if (whole > 0) await this.#disk.skip(whole);
    await this.#disk.write(ZERO_BLOCK.subarray(0, rest));
  }

  async end(): Promise<FileContent> {
    const { sizeBytes, start, tailRoom } = this.#open!;
    this.#open = undefined;
    if (this.#disk.position - start !== sizeBytes) {
      throw new RangeError(`a file of ${sizeBytes} bytes got ${this.#disk.position - start}`);
    }
    const rest = sizeBytes % EROFS_BLOCK_BYTES;
    let tail: FileContent["tail"] = null;
    if (rest > 0 && rest <= tailRoom) {
      tail = { offset: this.#spool.position, length: rest };
      await this.#spool.write(this.#disk.last(rest));
      this.#disk.rewind(rest);
    } else if (rest > 0) {
      await this.#disk.write(ZERO_BLOCK.subarray(rest));
    }
    const content: FileContent = {
      sizeBytes,
      block: start / EROFS_BLOCK_BYTES,
      blockCount: (this.#disk.position - start) / EROFS_BLOCK_BYTES,
      tail,
    };
    if (content.blockCount > 0) this.#contents.push(content);
    return content;
  }

  /** Waits until all was written. */
  async finish(): Promise<void> {
    await this.#disk.finish();
    await this.#spool.finish();
  }

  /** Puts the tail at `target[at]`. Only after `finish`. */
  async readTail(
    tail: NonNullable<FileContent["tail"]>,
    target: Buffer,
    at: number,
  ): Promise<void> {
    await readFully(this.#spoolFile, target.subarray(at, at + tail.length), tail.offset);
  }
}

function isZeroBlock(bytes: Buffer, at: number): boolean {
  return bytes.compare(ZERO_BLOCK, 0, EROFS_BLOCK_BYTES, at, at + EROFS_BLOCK_BYTES) === 0;
}

export async function writeFully(file: FileHandle, bytes: Buffer, offset: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
  }
}

/** Throws when the file is shorter. */
export async function readFully(file: FileHandle, target: Buffer, offset: number): Promise<void> {
  let done = 0;
  while (done < target.length) {
    const { bytesRead } = await file.read(target, done, target.length - done, offset + done);
    if (bytesRead === 0) throw new RangeError(`nothing to read at ${offset + done}`);
    done += bytesRead;
  }
}
