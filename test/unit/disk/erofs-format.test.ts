import { describe, expect, test } from "vitest";
import {
  crc32c,
  encodeDirectory,
  encodeInode,
  EROFS_BLOCK_BYTES,
  ErofsFileType,
  ErofsLayout,
} from "../../../src/disk/erofs-format.js";

const inode = {
  layout: ErofsLayout.flatPlain,
  mode: 0o100644,
  nlink: 1,
  sizeBytes: 5,
  blockOrDevice: 7,
  ino: 3,
  uid: 1,
  gid: 2,
};

test("the checksum is the kernel's crc32c", () => {
  // The check value of CRC-32C is e3069283; the kernel does not invert at the end.
  expect(~crc32c(Buffer.from("123456789")) >>> 0).toBe(0xe3069283);
});

describe("an inode", () => {
  test("is compact while it can be", () => {
    expect(encodeInode(inode)).toHaveLength(32);
    expect(encodeInode({ ...inode, layout: ErofsLayout.flatInline }).readUInt16LE(0)).toBe(4);
  });

  test("is extended for wide ids, large files, many links and times of its own", () => {
    for (const wide of [
      { uid: 65_536 },
      { gid: 65_536 },
      { sizeBytes: 2 ** 32 },
      { nlink: 65_536 },
      { mtime: { seconds: 5n, nanoseconds: 6 } },
    ]) {
      const bytes = encodeInode({ ...inode, ...wide });
      expect(bytes).toHaveLength(64);
      expect(bytes.readUInt16LE(0) & 1).toBe(1);
    }
    expect(encodeInode({ ...inode, sizeBytes: 2 ** 33 }).readBigUInt64LE(8)).toBe(2n ** 33n);
  });
});

describe("a directory", () => {
  const entry = (name: string) => ({
    name: Buffer.from(name),
    nid: 36n,
    fileType: ErofsFileType.file,
  });

  test("is sorted by bytes, not by letters", () => {
    const bytes = encodeDirectory([entry("b"), entry("é"), entry("B"), entry("."), entry("..")]);
    expect(bytes.subarray(5 * 12).toString()).toBe("...Bbé");
    expect(bytes.readUInt16LE(8)).toBe(5 * 12);
  });

  test("of many names fills blocks, all padded but the last", () => {
    const names = Array.from({ length: 100 }, (_, index) => `${index}`.padStart(100, "0"));
    const bytes = encodeDirectory(names.map(entry));
    const perBlock = Math.floor(EROFS_BLOCK_BYTES / 112);
    const inLast = 100 - 2 * perBlock;
    expect(bytes).toHaveLength(2 * EROFS_BLOCK_BYTES + inLast * 112);
    // The first name's offset tells the number of entries of its block.
    expect(bytes.readUInt16LE(8)).toBe(perBlock * 12);
    expect(bytes.readUInt16LE(2 * EROFS_BLOCK_BYTES + 8)).toBe(inLast * 12);
  });

  test("refuses names that the format cannot hold", () => {
    expect(() => encodeDirectory([entry("")])).toThrow(RangeError);
    expect(() => encodeDirectory([entry("x".repeat(256))])).toThrow(RangeError);
  });
});
