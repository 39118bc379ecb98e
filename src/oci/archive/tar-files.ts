/**
 * A tar file as a table of names, so that entries can be read in any order. Only headers are read for it: the
 * content of a layer is passed over. Its names are keys of this table and nothing else.
 */
import type { FileHandle } from "node:fs/promises";
import { posix } from "node:path";
import { Header } from "tar";
import { MAX_PAX_BYTES, parsePax, parsePaxNumber } from "../layer/pax.js";
import { archiveTooLarge, invalidArchive, shown } from "./archive-error.js";
import { type ArchiveFiles, readRange } from "./archive-files.js";
import type { ArchiveLimits } from "./limits.js";

const BLOCK_BYTES = 512;
/** A link to a link to a file; honest archives have one step. */
const MAX_LINK_STEPS = 8;

interface StoredFile {
  readonly kind: "file";
  readonly position: number;
  readonly sizeBytes: number;
}

interface Link {
  readonly kind: "link";
  /** A name in the archive. */
  readonly target: string;
}

/** What extended headers say of the entry that follows them. */
interface Announced {
  path?: string;
  linkPath?: string;
  sizeBytes?: number;
}

export class TarFiles implements ArchiveFiles {
  readonly #file: FileHandle;
  readonly #entries: ReadonlyMap<string, StoredFile | Link>;

  private constructor(file: FileHandle, entries: ReadonlyMap<string, StoredFile | Link>) {
    this.#file = file;
    this.#entries = entries;
  }

  /** Takes over `file`, also when it throws: MSB_ERR_IMAGE_INVALID for what is not a whole tar file, MSB_ERR_IMAGE_LIMIT. */
  static async open(
    file: FileHandle,
    limits: ArchiveLimits,
    signal?: AbortSignal,
  ): Promise<TarFiles> {
    try {
      const { size } = await file.stat();
      return new TarFiles(file, await new TarScan(file, size, limits).run(signal));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async sizeOf(name: string): Promise<number | undefined> {
    return this.#find(name)?.sizeBytes;
  }

  open(name: string, offset = 0): AsyncIterable<Buffer> {
    const entry = this.#find(name);
    if (entry === undefined) throw invalidArchive(`its file ${shown(name)} is missing`);
    const rest = Math.max(0, entry.sizeBytes - offset);
    return readRange(this.#file, entry.position + offset, rest, name);
  }

  #find(name: string): StoredFile | undefined {
    let key: string | undefined = entryName(name);
    for (let step = 0; key !== undefined && step < MAX_LINK_STEPS; step += 1) {
      const entry = this.#entries.get(key);
      if (entry === undefined || entry.kind === "file") return entry;
      key = entry.target;
    }
    if (key === undefined) return undefined;
    throw invalidArchive(`its link ${shown(name)} leads in a circle`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

class TarScan {
  readonly #file: FileHandle;
  readonly #sizeBytes: number;
  readonly #limits: ArchiveLimits;
  readonly #entries = new Map<string, StoredFile | Link>();
  #position = 0;

  constructor(file: FileHandle, sizeBytes: number, limits: ArchiveLimits) {
    this.#file = file;
    this.#sizeBytes = sizeBytes;
    this.#limits = limits;
  }

  async run(signal?: AbortSignal): Promise<Map<string, StoredFile | Link>> {
    let announced: Announced = {};
    for (let count = 0; ; count += 1) {
      signal?.throwIfAborted();
      if (count > this.#limits.maxEntries) {
        throw archiveTooLarge("more entries", "maxEntries", this.#limits.maxEntries);
      }
      const header = await this.#header();
      if (header === undefined) return this.#entries;
      const type = header.type;
      const sizeBytes = announced.sizeBytes ?? header.size ?? 0;
      if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) {
        throw invalidArchive("an entry has an impossible size");
      }
      const isContent = !["Directory", "SymbolicLink", "Link"].includes(type);
      const end = this.#position + (isContent ? sizeBytes : 0);
      if (end > this.#sizeBytes) throw invalidArchive("it ends in the middle of an entry");
      if (type === "NextFileHasLongPath" || type === "NextFileHasLongLinkpath") {
        const key = type === "NextFileHasLongPath" ? "path" : "linkPath";
        // Ends with a zero byte.
        const [text] = (await this.#content(sizeBytes)).toString("utf8").split("\0");
        announced = { ...announced, [key]: text };
      } else if (type === "ExtendedHeader") {
        announced = { ...announced, ...readExtended(await this.#content(sizeBytes)) };
      } else if (type !== "GlobalExtendedHeader") {
        this.#keep(header, announced, sizeBytes);
        announced = {};
      }
      this.#position = Math.ceil(end / BLOCK_BYTES) * BLOCK_BYTES;
    }
  }

  /** The next header; undefined at the end of the archive. */
  async #header(): Promise<Header | undefined> {
    const isFirst = this.#position === 0;
    if (this.#position >= this.#sizeBytes && !isFirst) return undefined;
    const block = await this.#read(BLOCK_BYTES);
    if (block.length < BLOCK_BYTES) throw notTar(block, isFirst);
    const header = decode(block);
    if (header?.nullBlock === true && !isFirst) return undefined;
    if (header?.cksumValid !== true) throw notTar(block, isFirst);
    this.#position += BLOCK_BYTES;
    return header;
  }

  #keep(header: Header, announced: Announced, sizeBytes: number): void {
    const name = entryName(announced.path ?? header.path ?? "");
    const linkPath = announced.linkPath ?? header.linkpath ?? "";
    switch (header.type) {
      case "File":
      case "OldFile":
      case "ContiguousFile":
        this.#entries.set(name, { kind: "file", position: this.#position, sizeBytes });
        break;
      case "SymbolicLink": {
        const target = entryName(posix.join(posix.dirname(name), linkPath), linkPath);
        this.#entries.set(name, { kind: "link", target });
        break;
      }
      case "Link":
        this.#entries.set(name, { kind: "link", target: entryName(linkPath) });
        break;
      case "Directory":
        break;
      default:
        throw invalidArchive(`its entry ${shown(name)} is neither a file, a folder nor a link`);
    }
  }

  async #content(sizeBytes: number): Promise<Buffer> {
    if (sizeBytes > MAX_PAX_BYTES) throw invalidArchive("an extended header is too long");
    return await this.#read(sizeBytes);
  }

  async #read(sizeBytes: number): Promise<Buffer> {
    const bytes = Buffer.alloc(sizeBytes);
    const { bytesRead } = await this.#file.read(bytes, 0, sizeBytes, this.#position);
    return bytes.subarray(0, bytesRead);
  }
}

function decode(block: Buffer): Header | undefined {
  try {
    return new Header(block);
  } catch {
    return undefined;
  }
}

function readExtended(bytes: Buffer): Announced {
  try {
    const found: Announced = {};
    for (const [key, value] of parsePax(bytes)) {
      if (key === "path") found.path = Buffer.from(value, "latin1").toString("utf8");
      if (key === "linkpath") found.linkPath = Buffer.from(value, "latin1").toString("utf8");
      if (key === "size") found.sizeBytes = parsePaxNumber(value);
    }
    return found;
  } catch (error) {
    throw invalidArchive("an extended header is damaged", error);
  }
}

/** The one spelling of a name: no `./` before it. `given` is for the message. */
function entryName(path: string, given = path): string {
  const name = posix.normalize(path).replace(/\/$/, "");
  if (given.startsWith("/") || name === ".." || name.startsWith("../") || path.includes("\0")) {
    throw invalidArchive(`its entry or link ${shown(given)} leads out of the archive`);
  }
  return name;
}

function notTar(block: Buffer, isFirst: boolean): Error {
  if (!isFirst) return invalidArchive("its tar stream is damaged or ends too early");
  const magic = block.toString("latin1", 0, 6);
  const packer = magic.startsWith("BZh") ? "bzip2" : magic === "\xfd7zXZ\0" ? "xz" : undefined;
  return packer === undefined
    ? invalidArchive("it is not a tar file (plain, gzip or zstd) and not an OCI layout folder")
    : invalidArchive(`it is packed by ${packer}; unpack it first (${packer} -d)`);
}
