/** Tar streams of our own making (POSIX.1-2017, pax, "ustar Interchange Format"): ASCII names, root's, no clock. */
import { Header } from "tar";
import { MsbError } from "../../errors.js";

const BLOCK_BYTES = 512;
/** Two empty blocks end an archive. */
const END_OF_ARCHIVE = Buffer.alloc(2 * BLOCK_BYTES);

export interface TarItem {
  /** Ends with a slash for a folder. */
  readonly path: string;
  readonly mode: number;
  /** Of what `content` gives; 0 for a folder. */
  readonly sizeBytes: number;
  readonly content?: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** The archive of `items` in their order; all of them last changed at `mtime`. */
export async function* tarStream(
  items: Iterable<TarItem>,
  mtime: Date,
): AsyncGenerator<Buffer, void, undefined> {
  for (const item of items) {
    yield headerOf(item, mtime);
    let sizeBytes = 0;
    for await (const chunk of item.content?.() ?? []) {
      sizeBytes += chunk.length;
      yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    }
    if (sizeBytes !== item.sizeBytes) {
      throw new RangeError(`${item.path} has ${sizeBytes} bytes, not ${item.sizeBytes}`);
    }
    yield Buffer.alloc((BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES);
  }
  yield END_OF_ARCHIVE;
}

function headerOf({ path, mode, sizeBytes }: TarItem, mtime: Date): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const type = path.endsWith("/") ? "Directory" : "File";
  const header = new Header({ path, mode, size: sizeBytes, type, mtime, uid: 0, gid: 0 });
  const needsPax = header.encode(block);
  // Sizes from 8 GiB on are written in base 256, as every reader of today knows; a name has no such way out.
  const isNameKept = new Header(block).path === path;
  if (needsPax && !isNameKept) {
    throw new MsbError(
      "MSB_ERR_INVALID_ARGUMENT",
      `The path ${path} does not fit into a tar header: use at most 100 bytes of ASCII.`,
    );
  }
  return block;
}
