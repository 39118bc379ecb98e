/**
 * Zstandard (RFC 8878) as a stream: by Node's own zlib where it has it (22.15 on), else by fzstd. A frame's header
 * asks for memory, up to terabytes; frames are walked here, and no window above `MAX_WINDOW_BYTES` is granted.
 */
import type { Duplex } from "node:stream";
import * as zlib from "node:zlib";
import { Decompress } from "fzstd";
import { MsbError } from "../../errors.js";
import { damaged } from "./layer-error.js";
import { throughZlib } from "./through-zlib.js";

/** What the reference decoder allows without being told otherwise, too. */
const MAX_WINDOW_BYTES = 128 * 1024 ** 2;
const CHUNK_BYTES = 256 * 1024;
const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a5;
const MAX_HEADER_BYTES = 18;
/** One byte, repeated. */
const RUN_LENGTH_BLOCK = 1;

interface ZlibWithZstd {
  createZstdDecompress?: (opts: { chunkSize: number }) => Duplex;
}

/** Throws MSB_ERR_IMAGE_INVALID, MSB_ERR_IMAGE_LIMIT, and what `source` throws. */
export function unzstd(source: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  const checked = withCheckedFrames(source);
  const native = (zlib as ZlibWithZstd).createZstdDecompress;
  if (native === undefined) return inScript(checked);
  return throughZlib(checked, native({ chunkSize: CHUNK_BYTES }), "zstd");
}

async function* inScript(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  let ready: Buffer[] = [];
  const decoder = new Decompress((bytes) => {
    ready.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  });
  const push = (chunk: Uint8Array, isLast: boolean): void => {
    try {
      decoder.push(chunk, isLast);
    } catch (error) {
      throw damaged("zstd", error);
    }
  };
  for await (const chunk of source) {
    push(chunk, false);
    yield* ready;
    ready = [];
  }
  // Short frames wait for this.
  push(Buffer.alloc(0), true);
  yield* ready;
}

/** Passes `source` on; throws before a frame that wants too much memory, and when the last frame is not whole. */
async function* withCheckedFrames(
  source: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  const walker = new FrameWalker();
  for await (const chunk of source) {
    walker.push(chunk);
    yield chunk;
  }
  walker.end();
}

/** Follows frames and blocks by their headers alone. */
export class FrameWalker {
  /** Bytes to pass over before the next header. */
  #skip = 0;
  /** The header that is being collected. */
  #head = Buffer.alloc(0);
  #at: "frame" | "block" = "frame";
  #hasChecksum = false;

  push(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      const skipped = Math.min(this.#skip, rest.length);
      this.#skip -= skipped;
      rest = rest.subarray(skipped);
      if (rest.length === 0) return;
      const before = this.#head.length;
      const wanted = this.#at === "frame" ? MAX_HEADER_BYTES : 3;
      this.#head = Buffer.concat([this.#head, rest.subarray(0, wanted - before)]);
      const used = this.#at === "frame" ? this.#readFrameHeader() : this.#readBlockHeader();
      if (used === undefined) {
        rest = rest.subarray(this.#head.length - before);
        continue;
      }
      rest = rest.subarray(used - before);
      this.#head = Buffer.alloc(0);
    }
  }

  end(): void {
    if (this.#at === "frame" && this.#skip === 0 && this.#head.length === 0) return;
    throw damaged("zstd", new Error("the last frame is not complete"));
  }

  /** The header's length; undefined when more bytes are needed. */
  #readFrameHeader(): number | undefined {
    const head = this.#head;
    if (head.length < 5) return undefined;
    const magic = head.readUInt32LE(0);
    if (magic >>> 4 === SKIPPABLE_MAGIC) {
      if (head.length < 8) return undefined;
      this.#skip = head.readUInt32LE(4);
      return 8;
    }
    if (magic !== FRAME_MAGIC) throw damaged("zstd", new Error("no frame where one should begin"));
    const descriptor = head[4]!;
    const isSingleSegment = (descriptor & 0x20) !== 0;
    const sizeFlag = descriptor >> 6;
    const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
    const sizeBytes = sizeFlag === 0 ? (isSingleSegment ? 1 : 0) : 1 << sizeFlag;
    const windowBytes = isSingleSegment ? 0 : 1;
    const length = 5 + windowBytes + dictionaryBytes + sizeBytes;
    if (head.length < length) return undefined;
    const contentSize = readSize(head.subarray(length - sizeBytes, length));
    checkWindow(isSingleSegment ? contentSize : windowOf(head[5]!));
    this.#hasChecksum = (descriptor & 4) !== 0;
    this.#at = "block";
    return length;
  }

  #readBlockHeader(): number | undefined {
    if (this.#head.length < 3) return undefined;
    const header = this.#head.readUIntLE(0, 3);
    const isLast = (header & 1) !== 0;
    const type = (header >> 1) & 3;
    if (type === 3) throw damaged("zstd", new Error("a block of a reserved type"));
    this.#skip = type === RUN_LENGTH_BLOCK ? 1 : header >> 3;
    if (isLast) {
      this.#skip += this.#hasChecksum ? 4 : 0;
      this.#at = "frame";
    }
    return 3;
  }
}

/** RFC 8878, section 3.1.1.1.4. */
function readSize(bytes: Buffer): number {
  if (bytes.length === 0) return 0;
  if (bytes.length === 2) return bytes.readUInt16LE(0) + 256;
  return bytes.length === 8 ? Number(bytes.readBigUInt64LE(0)) : bytes.readUIntLE(0, bytes.length);
}

/** RFC 8878, section 3.1.1.1.2. */
function windowOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

function checkWindow(windowBytes: number): void {
  if (windowBytes <= MAX_WINDOW_BYTES) return;
  throw new MsbError(
    "MSB_ERR_IMAGE_LIMIT",
    `A layer's zstd stream asks for a window of ${windowBytes} bytes; ${MAX_WINDOW_BYTES} are allowed. ` +
      "Compress the layer again without --ultra or --long.",
    { details: { limit: MAX_WINDOW_BYTES } },
  );
}
