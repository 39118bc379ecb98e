import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { checkErofsDisk } from "../../../src/disk/check-disk.js";
import { writeEmptyImage } from "../../../src/disk/empty-image.js";
import { tempDir } from "../../helpers/temp-dir.js";

test("an empty image is a disk, in a folder that is made for it, and nothing is beside it", async () => {
  const folder = join(await tempDir(), "new");
  const path = join(folder, "image.erofs");
  await writeEmptyImage(path);
  await checkErofsDisk(path);
  expect(await readdir(folder)).toEqual(["image.erofs"]);
});
