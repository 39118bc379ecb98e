/**
 * The entries of a layer's tar stream, as bytes say them. Headers are decoded by the tar package's `Header`; its
 * `Parser` is not used, because it turns names into UTF-8 text, cuts attribute values at a zero byte and does
 * not know sparse files, and a layer must come out as it went in.
 */
import { Header } from "tar";
import { isMsbError, MsbError } from "../../errors.js";
import { ByteReader } from "./byte-reader.js";
import { damaged, unsafeEntry } from "./layer-error.js";
import { MAX_PAX_BYTES, parsePax, parsePaxNumber, parsePaxTime, type PaxRecord } from "./pax.js";
import {
  paxSparse,
  readInDataMap,
  readOldSparse,
  type SparseMap,
  type SparseRun,
  tarNumber,
} from "./sparse.js";

const BLOCK_BYTES = 512;
/** PATH_MAX of Linux; longer names cannot be said to any system call. */
const MAX_PATH_BYTES = 4096;
const MAX_XATTR_BYTES = 65_536;

export type TarEntryKind =
  "file" | "directory" | "symlink" | "hardlink" | "charDevice" | "blockDevice" | "fifo";

/** Strings are byte strings: one character (U+0000 to U+00FF) a byte. */
export interface TarEntry {
  readonly kind: TarEntryKind;
  /** As written in the archive. */
  readonly path: string;
  /** Target of a link, else empty. */
  readonly linkPath: string;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: { readonly seconds: bigint; readonly nanoseconds: number };
  readonly device: { readonly major: number; readonly minor: number };
  /** The file's size with its holes; 0 for all that is not a file. */
  readonly sizeBytes: number;
  readonly xattrs: ReadonlyMap<string, string>;
}

/** An entry whose content has not been read yet. */
export interface OpenTarEntry extends TarEntry {
  /** Runs of data in their order, for files; `source` must be asked for exactly their bytes. */
  readonly runs: readonly SparseRun[];
}

/** By type flag (POSIX.1-2017, pax, "ustar Header Block"; GNU tar manual, "Basic Tar Format"). */
const KINDS: Readonly<Record<string, TarEntryKind>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  S: "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "charDevice",
  "4": "blockDevice",
  "5": "directory",
  "6": "fifo",
};

/** What headers before an entry say about it. */
interface Announced {
  longPath?: string;
  longLink?: string;
  pax: readonly PaxRecord[];
}

export class TarReader {
  readonly #bytes: ByteReader;
  /** Data and padding of the current entry that were not read. */
  #unread = 0;
  #padding = 0;

  constructor(source: AsyncIterable<Buffer>) {
    this.#bytes = new ByteReader(source);
  }

  /**
   * The next entry; undefined at the end of the archive, after the stream was read to its end.
   * Throws MSB_ERR_IMAGE_INVALID for a broken archive, MSB_ERR_UNSAFE_LAYER, and what the source throws.
   */
  async next(): Promise<OpenTarEntry | undefined> {
    try {
      return await this.#next();
    } catch (error) {
      throw isMsbError(error) || !(error instanceof RangeError) ? error : damaged("tar", error);
    }
  }

  /** At most `limit` bytes of the current entry's data; undefined when it was read. No copy. */
  async data(limit: number): Promise<Buffer | undefined> {
    if (this.#unread === 0) return undefined;
    const chunk = await this.#bytes.next(Math.min(limit, this.#unread));
    if (chunk === undefined) throw damaged("tar", new RangeError("it ends within a file"));
    this.#unread -= chunk.length;
    return chunk;
  }

  close(): Promise<void> {
    return this.#bytes.close();
  }

  async #next(): Promise<OpenTarEntry | undefined> {
    let announced: Announced = { pax: [] };
    for (;;) {
      const missing = await this.#bytes.skip(this.#unread);
      if (missing > 0) throw new RangeError("it ends within a file");
      // Some builders (umoci insert) leave the padding of the last file away.
      await this.#bytes.skip(this.#padding);
      this.#expect(0);
      const block = await this.#bytes.read(BLOCK_BYTES);
      const header = block === undefined ? undefined : decodeHeader(block);
      if (block === undefined || header?.nullBlock === true) {
        // Two zero blocks end an archive, but archives with one or none are about.
        await this.#bytes.drain();
        return undefined;
      }
      if (!header!.cksumValid) throw new RangeError("a header has a wrong checksum");
      // Not by `Header`: it takes a file for a folder when the 100 bytes of a longer name end in a slash.
      const type = block.toString("latin1", 156, 157);
      const sizeBytes = tarNumber(block, 124, 12);
      switch (type) {
        case "L":
        case "N":
          announced = { ...announced, longPath: cString(await this.#content(sizeBytes)) };
          continue;
        case "K":
          announced = { ...announced, longLink: cString(await this.#content(sizeBytes)) };
          continue;
        case "x":
        case "X":
          announced = { ...announced, pax: parsePax(await this.#content(sizeBytes)) };
          continue;
        case "g":
          // As all tools that unpack images do: it holds comments.
          await this.#content(sizeBytes);
          continue;
        default:
          return this.#open({ block, header: header!, type, sizeBytes }, announced);
      }
    }
  }

  /** The content of a header that describes others. */
  async #content(sizeBytes: number): Promise<Buffer> {
    if (sizeBytes > MAX_PAX_BYTES) {
      throw new RangeError(`an extended header has more than ${MAX_PAX_BYTES} bytes`);
    }
    if (sizeBytes === 0) return Buffer.alloc(0);
    const content = await this.#bytes.read(sizeBytes);
    if (content === undefined) throw new RangeError("it ends within an extended header");
    await this.#bytes.skip(paddingOf(sizeBytes));
    return content;
  }

  async #open(
    {
      block,
      header,
      type,
      sizeBytes,
    }: { block: Buffer; header: Header; type: string; sizeBytes: number },
    announced: Announced,
  ): Promise<OpenTarEntry> {
    const pax = new Map(announced.pax);
    const number = (key: string, fallback: number | undefined): number => {
      const text = pax.get(key);
      return text === undefined ? (fallback ?? 0) : parsePaxNumber(text);
    };
    const sparse = paxSparse(announced.pax);
    const named = sparse.format === "none" ? undefined : sparse.name;
    const path = named ?? pax.get("path") ?? announced.longPath ?? pathIn(block);
    checkName(path, path);
    const kind = entryKind(type, path);
    const linkPath =
      kind === "symlink" || kind === "hardlink"
        ? (pax.get("linkpath") ?? announced.longLink ?? cString(block.subarray(157, 257)))
        : "";
    if (linkPath !== "") checkName(linkPath, path);

    // Whatever size other kinds claim (some links have that of their target), no data follows them.
    const storedBytes = kind === "file" ? number("size", sizeBytes) : 0;
    this.#expect(storedBytes);
    let map: SparseMap | undefined;
    if (type === "S") map = await readOldSparse(block, this.#bytes);
    else if (sparse.format === "map") map = sparse.map;
    else if (sparse.format === "in-data") {
      const read = await readInDataMap(this.#bytes, sparse.sizeBytes);
      if (read.blockBytes > storedBytes)
        throw new RangeError("a sparse map is larger than its file");
      this.#unread -= read.blockBytes;
      map = read.map;
    }
    const runs = map?.runs ?? (this.#unread > 0 ? [{ offset: 0, length: this.#unread }] : []);
    if (kind === "file" && runs.reduce((sum, run) => sum + run.length, 0) !== this.#unread) {
      throw new RangeError("a sparse map does not fit its data");
    }
    return {
      kind,
      path,
      linkPath,
      mode: (header.mode ?? 0) & 0o7777,
      uid: checkId(number("uid", header.uid), path),
      gid: checkId(number("gid", header.gid), path),
      mtime: mtimeOf(header, pax.get("mtime")),
      device:
        kind === "charDevice" || kind === "blockDevice" ? deviceIn(block) : { major: 0, minor: 0 },
      sizeBytes: kind === "file" ? (map?.sizeBytes ?? this.#unread) : 0,
      xattrs: xattrsOf(announced.pax, path),
      runs,
    };
  }

  #expect(sizeBytes: number): void {
    this.#unread = sizeBytes;
    this.#padding = paddingOf(sizeBytes);
  }
}

/** Throws RangeError, also where the tar package throws plain errors. */
function decodeHeader(block: Buffer): Header {
  try {
    return new Header(block);
  } catch (error) {
    throw new RangeError("a header has a number that is none", { cause: error });
  }
}

function entryKind(type: string, path: string): TarEntryKind {
  const kind = KINDS[type];
  // Before ustar there was no type for folders.
  if (kind !== undefined) return kind === "file" && path.endsWith("/") ? "directory" : kind;
  throw new MsbError(
    "MSB_ERR_IMAGE_INVALID",
    `A layer's tar stream has an entry of the type ${JSON.stringify(type)}, which no file system of an image has.`,
  );
}

/** Name and prefix of the header (POSIX.1-2017, pax, "ustar Header Block"). */
function pathIn(block: Buffer): string {
  const name = cString(block.subarray(0, 100));
  if (block.toString("latin1", 257, 265) !== "ustar\u000000") return name;
  // With times after the prefix it is of the xstar kind, and shorter.
  const prefix = cString(block.subarray(345, block[475] === 0 ? 475 : 500));
  return prefix === "" ? name : `${prefix}/${name}`;
}

/** Both ustar and GNU headers have it; `Header` looks at those of ustar only. */
function deviceIn(block: Buffer): TarEntry["device"] {
  if (block.toString("latin1", 257, 262) !== "ustar") return { major: 0, minor: 0 };
  return { major: tarNumber(block, 329, 8), minor: tarNumber(block, 337, 8) };
}

/** Up to the first zero byte. */
function cString(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("latin1", 0, end < 0 ? bytes.length : end);
}

function checkName(name: string, path: string): void {
  if (name === "") throw unsafeEntry(path, "has an empty name");
  if (name.length > MAX_PATH_BYTES) throw unsafeEntry(path, "has a name of more than 4096 bytes");
  if (name.includes("\0")) throw unsafeEntry(path, "has a name with a zero byte");
}

function checkId(id: number, path: string): number {
  if (Number.isInteger(id) && id >= 0 && id <= 0xffffffff) return id;
  throw unsafeEntry(path, "has an owner that is no user or group id");
}

function mtimeOf(header: Header, text: string | undefined): TarEntry["mtime"] {
  if (text !== undefined) return parsePaxTime(text);
  const milliseconds = header.mtime?.getTime() ?? 0;
  return { seconds: BigInt(Math.floor((milliseconds || 0) / 1000)), nanoseconds: 0 };
}

/** Extended attributes as GNU tar and Go's archive/tar write them (SCHILY) and as libarchive does. */
function xattrsOf(records: readonly PaxRecord[], path: string): Map<string, string> {
  const xattrs = new Map<string, string>();
  let sizeBytes = 0;
  for (const [key, value] of records) {
    let name: string;
    let bytes = value;
    if (key.startsWith("SCHILY.xattr.")) name = key.slice("SCHILY.xattr.".length);
    else if (key.startsWith("LIBARCHIVE.xattr.")) {
      name = percentDecoded(key.slice("LIBARCHIVE.xattr.".length));
      if (xattrs.has(name)) continue;
      bytes = Buffer.from(value, "base64").toString("latin1");
    } else continue;
    if (name === "" || name.length > 255)
      throw unsafeEntry(path, "has an attribute without a name");
    sizeBytes += name.length + bytes.length;
    if (sizeBytes > MAX_XATTR_BYTES) throw unsafeEntry(path, "has more than 64 KiB of attributes");
    xattrs.set(name, bytes);
  }
  return xattrs;
}

function percentDecoded(text: string): string {
  return text.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function paddingOf(sizeBytes: number): number {
  return (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
}
