/**
 * The on-disk format of EROFS, as far as uncompressed read-only disks need it. Written from the Linux kernel's
 * description, Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h. All numbers are little-endian.
 *
 * A disk is: 1024 unused bytes, the superblock, then inodes anywhere at 32-byte steps ("nid") counted from
 * the block `metaBlock`, and data in whole blocks. The last, partial block of a file or directory
 * may follow its inode directly (`flatInline`) if both lie in one block.
 */

export const EROFS_MAGIC = 0xe0f5e1e2;
export const EROFS_SUPER_OFFSET = 1024;
export const EROFS_SUPER_BYTES = 128;
export const EROFS_BLOCK_BITS = 12;
export const EROFS_BLOCK_BYTES = 1 << EROFS_BLOCK_BITS;
/** Inodes are addressed in units of this; a nid is an offset divided by it. */
export const EROFS_SLOT_BYTES = 32;
export const EROFS_NAME_MAX = 255;

const COMPACT_INODE_BYTES = 32;
export const EXTENDED_INODE_BYTES = 64;
const DIRENT_BYTES = 12;
/** The superblock carries a crc32c of its block. */
const FEATURE_COMPAT_CHECKSUM = 0x1;
/** Inodes carry the time of the last change of content, not of the inode. */
const FEATURE_COMPAT_MTIME = 0x2;

/** How a file's data is stored. */
export const ErofsLayout = { flatPlain: 0, flatInline: 2 } as const;
export type ErofsLayout = (typeof ErofsLayout)[keyof typeof ErofsLayout];

/** File types as directory entries name them. */
export const ErofsFileType = {
  file: 1,
  directory: 2,
  charDevice: 3,
  blockDevice: 4,
  fifo: 5,
  socket: 6,
  symlink: 7,
} as const;
export type ErofsFileType = (typeof ErofsFileType)[keyof typeof ErofsFileType];

export interface ErofsSuperblock {
  /** Must fit 16 bits. */
  readonly rootNid: number;
  readonly inodeCount: number;
  /** The whole disk in blocks. */
  readonly blockCount: number;
  /** The block that nids count from. */
  readonly metaBlock: number;
  /** Seconds; also the mtime of every compact inode. */
  readonly buildTime: number;
  /** 16 bytes. */
  readonly uuid: Uint8Array;
}

export interface ErofsInode {
  readonly layout: ErofsLayout;
  /** Type and permission bits, as in st_mode. */
  readonly mode: number;
  readonly nlink: number;
  readonly sizeBytes: number;
  /** First data block, or the device number of a device. */
  readonly blockOrDevice: number;
  /** A serial number, unique on this disk. */
  readonly ino: number;
  readonly uid: number;
  readonly gid: number;
  /** Words of inline xattrs as `i_xattr_icount` counts them; 0 for none. */
  readonly xattrCount?: number;
  /** Seconds; an inode with a time of its own is an extended one. */
  readonly mtime?: { readonly seconds: bigint; readonly nanoseconds: number };
}

export interface ErofsDirent {
  readonly name: Uint8Array;
  readonly nid: bigint;
  readonly fileType: ErofsFileType;
}

/** The first block from EROFS_SUPER_OFFSET on; its checksum covers what follows the superblock, too. */
export function encodeFirstBlock(superblock: ErofsSuperblock): Buffer {
  const block = Buffer.alloc(EROFS_BLOCK_BYTES - EROFS_SUPER_OFFSET);
  block.writeUInt32LE(EROFS_MAGIC, 0);
  block.writeUInt32LE(FEATURE_COMPAT_CHECKSUM | FEATURE_COMPAT_MTIME, 8);
  block.writeUInt8(EROFS_BLOCK_BITS, 12);
  block.writeUInt16LE(superblock.rootNid, 14);
  block.writeBigUInt64LE(BigInt(superblock.inodeCount), 16);
  block.writeBigUInt64LE(BigInt(superblock.buildTime), 24);
  block.writeUInt32LE(superblock.blockCount, 36);
  block.writeUInt32LE(superblock.metaBlock, 40);
  block.set(superblock.uuid, 48);
  block.writeUInt32LE(crc32c(block), 4);
  return block;
}

/** A disk's UUID of version 8 (RFC 9562: made by the application's own rule): the first 16 bytes of a digest. */
export function uuidFromDigest(digest: Uint8Array): Buffer {
  const uuid = Buffer.from(digest.subarray(0, 16));
  uuid[6] = (uuid[6]! & 0x0f) | 0x80;
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  return uuid;
}

/** Extended if the inode needs it: a time of its own, wide ids, a large size or many links. */
export function encodeInode(inode: ErofsInode): Buffer {
  return isExtended(inode) ? encodeExtended(inode) : encodeCompact(inode);
}

export function inodeBytes(inode: ErofsInode): number {
  return isExtended(inode) ? EXTENDED_INODE_BYTES : COMPACT_INODE_BYTES;
}

function isExtended(inode: ErofsInode): boolean {
  return (
    inode.mtime !== undefined ||
    inode.uid > 0xffff ||
    inode.gid > 0xffff ||
    inode.nlink > 0xffff ||
    inode.sizeBytes > 0xffffffff
  );
}

function encodeCompact(inode: ErofsInode): Buffer {
  const bytes = Buffer.alloc(COMPACT_INODE_BYTES);
  bytes.writeUInt16LE(inode.layout << 1, 0);
  bytes.writeUInt16LE(inode.xattrCount ?? 0, 2);
  bytes.writeUInt16LE(inode.mode, 4);
  bytes.writeUInt16LE(inode.nlink, 6);
  bytes.writeUInt32LE(inode.sizeBytes, 8);
  bytes.writeUInt32LE(inode.blockOrDevice, 16);
  bytes.writeUInt32LE(inode.ino, 20);
  bytes.writeUInt16LE(inode.uid, 24);
  bytes.writeUInt16LE(inode.gid, 26);
  return bytes;
}

function encodeExtended(inode: ErofsInode): Buffer {
  const bytes = Buffer.alloc(EXTENDED_INODE_BYTES);
  bytes.writeUInt16LE((inode.layout << 1) | 1, 0);
  bytes.writeUInt16LE(inode.xattrCount ?? 0, 2);
  bytes.writeUInt16LE(inode.mode, 4);
  bytes.writeBigUInt64LE(BigInt(inode.sizeBytes), 8);
  bytes.writeUInt32LE(inode.blockOrDevice, 16);
  bytes.writeUInt32LE(inode.ino, 20);
  bytes.writeUInt32LE(inode.uid, 24);
  bytes.writeUInt32LE(inode.gid, 28);
  bytes.writeBigInt64LE(inode.mtime?.seconds ?? 0n, 32);
  bytes.writeUInt32LE(inode.mtime?.nanoseconds ?? 0, 40);
  bytes.writeUInt32LE(inode.nlink, 44);
  return bytes;
}

/**
 * A directory's data: blocks of [entries..., names...], entries sorted by the bytes of their names over the
 * whole directory; every block but the last is padded. `entries` must hold "." and ".." and need not be sorted.
 */
export function encodeDirectory(entries: readonly ErofsDirent[]): Buffer {
  const sorted = entries.toSorted((a, b) => Buffer.compare(a.name, b.name));
  const blocks: Buffer[] = [];
  for (const { begin, end, sizeBytes } of directoryBlocks(sorted.map((entry) => entry.name))) {
    const isLast = end === sorted.length;
    blocks.push(encodeDirectoryBlock(sorted.slice(begin, end), isLast ? sizeBytes : undefined));
  }
  return Buffer.concat(blocks);
}

/** How long `encodeDirectory` of these names will be; "." and ".." are among them, sorted by their bytes. */
export function directoryBytes(sortedNames: readonly { readonly length: number }[]): number {
  const blocks = directoryBlocks(sortedNames);
  return (blocks.length - 1) * EROFS_BLOCK_BYTES + blocks.at(-1)!.sizeBytes;
}

/** Which names go into which block. */
function directoryBlocks(
  sortedNames: readonly { readonly length: number }[],
): { begin: number; end: number; sizeBytes: number }[] {
  const blocks: { begin: number; end: number; sizeBytes: number }[] = [];
  let block = { begin: 0, end: 0, sizeBytes: 0 };
  for (const name of sortedNames) {
    const more = DIRENT_BYTES + checkedLength(name);
    if (block.sizeBytes + more > EROFS_BLOCK_BYTES) {
      blocks.push(block);
      block = { begin: block.end, end: block.end, sizeBytes: 0 };
    }
    block.end += 1;
    block.sizeBytes += more;
  }
  return [...blocks, block];
}

function encodeDirectoryBlock(
  entries: readonly ErofsDirent[],
  sizeBytes = EROFS_BLOCK_BYTES,
): Buffer {
  const block = Buffer.alloc(sizeBytes);
  let nameOffset = entries.length * DIRENT_BYTES;
  for (const [index, entry] of entries.entries()) {
    const at = index * DIRENT_BYTES;
    block.writeBigUInt64LE(entry.nid, at);
    block.writeUInt16LE(nameOffset, at + 8);
    block.writeUInt8(entry.fileType, at + 10);
    block.set(entry.name, nameOffset);
    nameOffset += entry.name.length;
  }
  return block;
}

function checkedLength({ length }: { readonly length: number }): number {
  if (length > 0 && length <= EROFS_NAME_MAX) return length;
  throw new RangeError(`a name of ${length} bytes cannot be in a directory`);
}

/** A device number as the inode holds it: the kernel's new_encode_dev (include/linux/kdev_t.h). */
export function encodeDevice({ major, minor }: { major: number; minor: number }): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

const CRC32C_TABLE = new Uint32Array(256).map((_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc >>> 0;
});

/** The kernel's crc32c: Castagnoli, seeded with all ones, not inverted at the end. */
export function crc32c(bytes: Uint8Array, seed = 0xffffffff): number {
  let crc = seed;
  for (const byte of bytes) crc = CRC32C_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return crc >>> 0;
}
