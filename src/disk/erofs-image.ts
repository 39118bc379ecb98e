/**
 * Writes an EROFS disk of any size as its files come: superblock, data, inodes, directories. Memory is bounded by
 * the number of entries, not by their size. The same tree and data give the same bytes.
 */
import { type FileHandle, open, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { tempName } from "../util/atomic-file.js";
import { ErofsData, type FileContent, writeFully } from "./erofs-data.js";
import {
  encodeDevice,
  encodeDirectory,
  encodeFirstBlock,
  encodeInode,
  EROFS_BLOCK_BYTES,
  EROFS_SLOT_BYTES,
  EROFS_SUPER_OFFSET,
  type ErofsDirent,
  ErofsFileType,
  ErofsLayout,
} from "./erofs-format.js";
import { closeUp, planClosing } from "./erofs-holes.js";
import { type Layout, layOut, type Placement, storedNames } from "./erofs-layout.js";
import type { DirectoryNode, TreeNode } from "./erofs-tree.js";
import { encodeXattrs, xattrCount } from "./erofs-xattr.js";

const FIRST_DATA_BLOCK = 1;
/** Inodes are put together in windows of this many bytes. */
const WINDOW_BYTES = 1024 ** 2;
const NO_BLOCK = 0xffffffff;

const TYPE_BITS: Readonly<Record<TreeNode["kind"], number>> = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  charDevice: 0o020000,
  blockDevice: 0o060000,
  fifo: 0o010000,
};

const FILE_TYPES: Readonly<Record<TreeNode["kind"], ErofsFileType>> = {
  file: ErofsFileType.file,
  directory: ErofsFileType.directory,
  symlink: ErofsFileType.symlink,
  charDevice: ErofsFileType.charDevice,
  blockDevice: ErofsFileType.blockDevice,
  fifo: ErofsFileType.fifo,
};

export interface ErofsImageInfo {
  readonly sizeBytes: number;
  readonly inodeCount: number;
}

export class ErofsImage implements AsyncDisposable {
  readonly #disk: FileHandle;
  readonly #spool: FileHandle;

  private constructor(
    readonly data: ErofsData,
    disk: FileHandle,
    spool: FileHandle,
  ) {
    this.#disk = disk;
    this.#spool = spool;
  }

  /** Begins a disk in the empty file `disk`. A spool for ends of files is kept beside `path`, without a name. */
  static async begin(disk: FileHandle, path: string): Promise<ErofsImage> {
    const spoolPath = join(dirname(path), tempName(".tails"));
    const spool = await open(spoolPath, "wx+", 0o600);
    await rm(spoolPath);
    return new ErofsImage(new ErofsData(disk, spool, FIRST_DATA_BLOCK), disk, spool);
  }

  /** Writes all that is not data. `uuid` has 16 bytes. */
  async finish(root: DirectoryNode, opts: { uuid: Uint8Array }): Promise<ErofsImageInfo> {
    await this.data.finish();
    const layout = layOut(root);
    const inodeBlock = await this.#closeUp(layout);
    const directoryBlock = inodeBlock + layout.inodeBlocks;
    await this.#writeInodes(layout, inodeBlock, directoryBlock);
    const blockCount = directoryBlock + layout.directoryBlocks;
    const first = encodeFirstBlock({
      rootNid: layout.root.nid,
      inodeCount: layout.placements.size,
      blockCount,
      metaBlock: inodeBlock,
      buildTime: 0,
      uuid: opts.uuid,
    });
    await writeFully(this.#disk, first, EROFS_SUPER_OFFSET);
    const sizeBytes = blockCount * EROFS_BLOCK_BYTES;
    await this.#disk.truncate(sizeBytes);
    return { sizeBytes, inodeCount: layout.placements.size };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.data.finish().catch(() => {});
    await this.#spool.close();
  }

  /** The first block behind the data. */
  async #closeUp(layout: Layout): Promise<number> {
    const live = new Set<FileContent>();
    for (const node of layout.placements.keys()) if (node.kind === "file") live.add(node.content);
    const plan = planClosing(this.data.contents, live, FIRST_DATA_BLOCK);
    await closeUp(this.#disk, plan);
    return plan.endBlock;
  }

  async #writeInodes(layout: Layout, inodeBlock: number, directoryBlock: number): Promise<void> {
    const base = inodeBlock * EROFS_BLOCK_BYTES;
    const ordered = [...layout.placements.values()].toSorted((a, b) => a.nid - b.nid);
    let window = Buffer.alloc(WINDOW_BYTES);
    let windowStart = 0;
    const flush = async (end: number): Promise<void> => {
      await writeFully(this.#disk, window.subarray(0, end - windowStart), base + windowStart);
    };
    for (const placement of ordered) {
      const directory = directoryData(placement, layout);
      const bytes = await this.#encode(placement, directory, directoryBlock);
      const at = placement.nid * EROFS_SLOT_BYTES;
      if (at + bytes.length > windowStart + window.length) {
        await flush(at);
        windowStart = at;
        window = Buffer.alloc(Math.max(WINDOW_BYTES, bytes.length));
      }
      window.set(bytes, at - windowStart);
      const wholeBytes = placement.sizeBytes - placement.inlineBytes;
      if (directory !== undefined && wholeBytes > 0) {
        const offset = (directoryBlock + placement.directoryBlock) * EROFS_BLOCK_BYTES;
        await writeFully(this.#disk, directory.subarray(0, wholeBytes), offset);
      }
    }
    await flush(Math.min(windowStart + window.length, layout.inodeBlocks * EROFS_BLOCK_BYTES));
  }

  /** Inode, attributes and what stands inline. */
  async #encode(
    placement: Placement,
    directory: Buffer | undefined,
    directoryBlock: number,
  ): Promise<Buffer> {
    const { node, inlineBytes } = placement;
    const { attributes } = node;
    const xattrs = encodeXattrs(attributes.xattrs);
    const inode = encodeInode({
      layout: inlineBytes > 0 ? ErofsLayout.flatInline : ErofsLayout.flatPlain,
      mode: TYPE_BITS[node.kind] | attributes.mode,
      nlink: placement.nlink,
      sizeBytes: placement.sizeBytes,
      blockOrDevice: blockOrDevice(placement, directoryBlock),
      ino: placement.ino,
      uid: attributes.uid,
      gid: attributes.gid,
      xattrCount: xattrCount(xattrs.length),
      mtime: attributes.mtime,
    });
    const bytes = Buffer.alloc(inode.length + xattrs.length + inlineBytes);
    inode.copy(bytes, 0);
    xattrs.copy(bytes, inode.length);
    const at = inode.length + xattrs.length;
    if (node.kind === "symlink") bytes.write(node.target, at, "latin1");
    else if (node.kind === "file" && node.content.tail !== null) {
      await this.data.readTail(node.content.tail, bytes, at);
    } else if (directory !== undefined && inlineBytes > 0) {
      directory.copy(bytes, at, placement.sizeBytes - inlineBytes);
    }
    return bytes;
  }
}

function blockOrDevice(placement: Placement, directoryBlock: number): number {
  const { node, sizeBytes, inlineBytes } = placement;
  if (node.kind === "charDevice" || node.kind === "blockDevice") return encodeDevice(node.device);
  if (sizeBytes === inlineBytes) return NO_BLOCK;
  if (node.kind === "file") return node.content.block;
  return directoryBlock + placement.directoryBlock;
}

function directoryData(placement: Placement, layout: Layout): Buffer | undefined {
  const { node } = placement;
  if (node.kind !== "directory") return undefined;
  const entries = storedNames(node).map((name): ErofsDirent => {
    const child =
      name === "."
        ? node
        : name === ".."
          ? (placement.parent ?? placement).node
          : node.entries.get(name)!;
    return {
      name: Buffer.from(name, "latin1"),
      nid: BigInt(layout.placements.get(child)!.nid),
      fileType: FILE_TYPES[child.kind],
    };
  });
  return encodeDirectory(entries);
}
