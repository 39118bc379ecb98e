/** A quick look at disk files before a VM is started with them: is it there, is it of the right kind? */
import { open } from "node:fs/promises";
import { MsbError } from "../errors.js";
import { CPIO_MAGIC } from "./cpio.js";
import { diskNotFound } from "./disk-error.js";
import { EROFS_MAGIC, EROFS_SUPER_OFFSET } from "./erofs-format.js";

/** Both kinds have their superblock at 1024; this covers what is looked at. */
const HEAD_BYTES = 1024 + 128;
const SECTOR_BYTES = 512;
const EXT4_MAGIC = 0xef53;

/** Throws MSB_ERR_DISK_NOT_FOUND or MSB_ERR_DISK_INVALID. */
export async function checkErofsDisk(path: string): Promise<void> {
  const { head, sizeBytes } = await readHead(path, "an EROFS disk");
  if (head.readUInt32LE(EROFS_SUPER_OFFSET) !== EROFS_MAGIC) {
    throw invalid(path, "an EROFS disk", "it has no EROFS superblock");
  }
  const blockBits = head.readUInt8(EROFS_SUPER_OFFSET + 12);
  const blockCount = head.readUInt32LE(EROFS_SUPER_OFFSET + 36);
  checkCapacity(path, "an EROFS disk", sizeBytes, blockCount * 2 ** blockBits);
}

/** Throws MSB_ERR_DISK_NOT_FOUND or MSB_ERR_DISK_INVALID. */
export async function checkInitramfs(path: string): Promise<void> {
  const { head } = await readHead(path, "an initramfs");
  if (head.toString("latin1", 0, CPIO_MAGIC.length) === CPIO_MAGIC) return;
  throw invalid(path, "an initramfs", "it does not begin as a cpio archive does");
}

/** Throws MSB_ERR_DISK_NOT_FOUND or MSB_ERR_DISK_INVALID. */
export async function checkExt4Disk(path: string): Promise<void> {
  const { head, sizeBytes } = await readHead(path, "an ext4 disk");
  if (head.readUInt16LE(1024 + 56) !== EXT4_MAGIC) {
    throw invalid(path, "an ext4 disk", "it has no ext4 superblock");
  }
  const blockBytes = 1024 * 2 ** head.readUInt32LE(1024 + 24);
  checkCapacity(path, "an ext4 disk", sizeBytes, head.readUInt32LE(1024 + 4) * blockBytes);
}

async function readHead(path: string, kind: string): Promise<{ head: Buffer; sizeBytes: number }> {
  const file = await open(path, "r").catch((error: unknown) => {
    throw diskNotFound(path, error);
  });
  try {
    const info = await file.stat();
    if (!info.isFile()) throw invalid(path, kind, "it is not a regular file");
    if (info.size % SECTOR_BYTES !== 0) {
      throw invalid(path, kind, `its size, ${info.size}, is no multiple of ${SECTOR_BYTES}`);
    }
    const head = Buffer.alloc(HEAD_BYTES);
    const { bytesRead } = await file.read(head, 0, HEAD_BYTES, 0);
    if (bytesRead < HEAD_BYTES) throw invalid(path, kind, `it has only ${info.size} bytes`);
    return { head, sizeBytes: info.size };
  } finally {
    await file.close();
  }
}

function checkCapacity(path: string, kind: string, sizeBytes: number, claimed: number): void {
  if (claimed === 0 || claimed > sizeBytes) {
    throw invalid(
      path,
      kind,
      `its superblock claims ${claimed} bytes and the file has ${sizeBytes}: it was cut off`,
    );
  }
}

function invalid(path: string, kind: string, why: string): MsbError {
  return new MsbError("MSB_ERR_DISK_INVALID", `${path} is not ${kind}: ${why}. Make it anew.`, {
    details: { path },
  });
}
