/**
 * The archive format of an initramfs: "newc" (Linux: Documentation/driver-api/early-userspace/buffer-format.rst), a header
 * of hexadecimal digits, the name and the data of each entry, both padded to four bytes.
 */

/** What every header begins with. */
export const CPIO_MAGIC = "070701";
const TRAILER = "TRAILER!!!";
const HEADER_BYTES = 110;
/** The whole archive is padded to this, as tools for this format do. */
const ARCHIVE_STEP = 512;

export interface CpioEntry {
  /** Without a slash in front; a folder comes before what is in it. */
  readonly name: string;
  /** Type and permission bits, such as 0o100755. */
  readonly mode: number;
  readonly data?: Uint8Array;
}

/** Everything belongs to root and has no time. The same entries give the same bytes. */
export function encodeCpio(entries: readonly CpioEntry[]): Buffer {
  const parts = entries.flatMap((entry, index) => encodeEntry(entry, index + 1));
  parts.push(...encodeEntry({ name: TRAILER, mode: 0 }, 0));
  const archive = Buffer.concat(parts);
  return Buffer.concat([archive, padding(archive.length, ARCHIVE_STEP)]);
}

function encodeEntry(
  { name, mode, data = new Uint8Array() }: CpioEntry,
  ino: number,
): Uint8Array[] {
  const nameBytes = Buffer.from(`${name}\0`);
  // ino, mode, uid, gid, nlink, mtime, size, device (2), special device (2), size of the name, checksum (of none).
  const fields = [ino, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, nameBytes.length, 0];
  const digits = fields.map((field) => field.toString(16).padStart(8, "0")).join("");
  return [
    Buffer.from(CPIO_MAGIC + digits, "latin1"),
    nameBytes,
    padding(HEADER_BYTES + nameBytes.length, 4),
    data,
    padding(data.length, 4),
  ];
}

function padding(length: number, step: number): Uint8Array {
  return new Uint8Array((step - (length % step)) % step);
}
