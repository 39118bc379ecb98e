/** The disk of an image without files, for a guest that needs none. */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { replaceFile } from "../util/atomic-file.js";
import { spaceError } from "./disk-error.js";
import { EROFS_BLOCK_BYTES } from "./erofs-format.js";
import { ErofsImage } from "./erofs-image.js";
import { plainDirectory } from "./erofs-tree.js";

/** Makes its folder, too. Throws MSB_ERR_NO_SPACE. */
export async function writeEmptyImage(path: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await write(path);
  } catch (error) {
    throw spaceError(error, path, EROFS_BLOCK_BYTES);
  }
}

async function write(path: string): Promise<void> {
  await replaceFile(path, async (file, tempPath) => {
    await using image = await ErofsImage.begin(file, tempPath);
    await image.finish(plainDirectory(), { uuid: new Uint8Array(16) });
  });
}
