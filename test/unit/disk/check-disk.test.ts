import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { checkErofsDisk, checkExt4Disk, checkInitramfs } from "../../../src/disk/check-disk.js";
import { writeEmptyImage } from "../../../src/disk/empty-image.js";
import { encodeInitramfs } from "../../../src/disk/initramfs.js";
import { tempDir } from "../../helpers/temp-dir.js";

test("a whole disk passes; one that was cut off, is of another kind or is missing is refused", async () => {
  const dir = await tempDir();
  const path = join(dir, "boot.erofs");
  await writeEmptyImage(path);
  await checkErofsDisk(path);
  await expect(checkExt4Disk(path)).rejects.toMatchObject({ code: "MSB_ERR_DISK_INVALID" });
  await expect(checkInitramfs(path)).rejects.toThrow(/does not begin as a cpio archive/);
  await truncate(path, 4096);
  await expect(checkErofsDisk(path)).rejects.toThrow(/it was cut off/);
  await truncate(path, 4000);
  await expect(checkErofsDisk(path)).rejects.toThrow(/no multiple of 512/);
  await truncate(path, 512);
  await expect(checkErofsDisk(path)).rejects.toThrow(/only 512 bytes/);
  await expect(checkErofsDisk(dir)).rejects.toThrow(/not a regular file/);
  await expect(checkErofsDisk(join(dir, "none"))).rejects.toMatchObject({
    code: "MSB_ERR_DISK_NOT_FOUND",
    details: { path: join(dir, "none") },
  });
});

test("an initramfs passes, and is no disk", async () => {
  const path = join(await tempDir(), "initramfs.cpio");
  await writeFile(path, encodeInitramfs(Buffer.alloc(10_000, 1)));
  await checkInitramfs(path);
  await expect(checkErofsDisk(path)).rejects.toThrow(/no EROFS superblock/);
});

test("an ext4 superblock with a plausible size passes", async () => {
  const path = join(await tempDir(), "upper.ext4");
  const disk = Buffer.alloc(16 * 4096);
  disk.writeUInt16LE(0xef53, 1024 + 56);
  disk.writeUInt32LE(2, 1024 + 24);
  disk.writeUInt32LE(16, 1024 + 4);
  await writeFile(path, disk);
  await checkExt4Disk(path);
  await expect(checkErofsDisk(path)).rejects.toThrow(/no EROFS superblock/);
});
