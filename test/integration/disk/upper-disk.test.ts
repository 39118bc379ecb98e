import { execFileSync } from "node:child_process";
import { copyFile, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { checkExt4Disk } from "../../../src/disk/check-disk.js";
import {
  type CloneSparse,
  createUpperDisk,
  MAX_UPPER_BYTES,
} from "../../../src/disk/upper-disk.js";
import { msbPaths } from "../../../src/paths.js";
import { tempDir } from "../../helpers/temp-dir.js";

const MIB = 1024 ** 2;

/** Stands for the addon's clone. */
const clone: CloneSparse = async (src, dst) => {
  execFileSync("cp", ["--sparse=always", src, dst]);
  const { size, blocks } = await stat(dst);
  return { sizeBytes: size, dataBytes: blocks * 512 };
};

test("an upper disk is a sound, sparse, empty ext4 of the asked size, from a template made once", async () => {
  const dir = await tempDir();
  const paths = msbPaths(join(dir, "home"));
  const opts = { sizeBytes: 4096 * MIB, paths, clone };
  const disks = ["a", "b", "c"].map((name) => join(dir, "vm", `${name}.ext4`));
  await Promise.all(disks.map((path) => createUpperDisk(path, opts)));
  for (const path of disks) {
    await checkExt4Disk(path);
    const info = await stat(path);
    expect(info.size).toBe(opts.sizeBytes);
    expect(info.blocks * 512).toBeLessThan(16 * MIB);
    execFileSync("/sbin/e2fsck", ["-fn", path], { stdio: "pipe" });
  }
  expect(await readdir(paths.diskCacheDir)).toEqual([`upper-${opts.sizeBytes}.ext4`]);
  expect((await readdir(join(dir, "vm"))).toSorted()).toEqual(["a.ext4", "b.ext4", "c.ext4"]);
});

test.each([0, -4096, 1.5, NaN, 16 * MIB - 4096, 17 * MIB + 1, MAX_UPPER_BYTES + 4096])(
  "a size of %d is refused by the option's name",
  async (sizeBytes) => {
    const dir = await tempDir();
    const creating = createUpperDisk(join(dir, "x"), { sizeBytes, paths: msbPaths(dir), clone });
    await expect(creating).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      details: { option: "sizeBytes" },
    });
    expect(await readdir(dir)).toEqual([]);
  },
);

test("a host disk that is full is said so and nothing is left", async () => {
  const dir = await tempDir();
  const full: CloneSparse = async (src, dst) => {
    await copyFile(src, dst);
    throw Object.assign(new Error("write"), { code: "ENOSPC" });
  };
  const target = join(dir, "vm");
  const paths = msbPaths(join(dir, "home"));
  const creating = createUpperDisk(join(target, "x"), { sizeBytes: 16 * MIB, paths, clone: full });
  await expect(creating).rejects.toMatchObject({
    code: "MSB_ERR_NO_SPACE",
    message: expect.stringContaining("MSB_HOME") as string,
  });
  expect(await readdir(target)).toEqual([]);
});

test("a file that exists is not replaced", async () => {
  const dir = await tempDir();
  const path = join(dir, "x");
  await writeFile(path, "mine");
  const paths = msbPaths(join(dir, "home"));
  await expect(createUpperDisk(path, { sizeBytes: 16 * MIB, paths, clone })).rejects.toMatchObject({
    code: "MSB_ERR_INVALID_ARGUMENT",
    details: { option: "path" },
  });
  expect((await stat(path)).size).toBe(4);
});
