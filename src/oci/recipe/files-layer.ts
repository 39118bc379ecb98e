/** The upper layer of a recipe: the files that it brings, and the folder that the guest mounts its devices on. */
import { readFile, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { MsbError } from "../../errors.js";
import { type TarItem, tarStream } from "../archive/tar-writer.js";
import type { Recipe } from "./recipe.js";

/** Files of a recipe are settings and small programs; data belongs into a volume. */
const MAX_FILE_BYTES = 16 * 1024 ** 2;

/** A tar stream. Throws MSB_ERR_INVALID_ARGUMENT for a file that is not there, too large or outside of `folder`. */
export async function* filesLayer(
  recipe: Recipe,
  folder: string,
): AsyncGenerator<Buffer, void, undefined> {
  const items: TarItem[] = [{ path: "dev/", mode: 0o755, sizeBytes: 0 }];
  for (const { source, path, mode } of recipe.files) {
    const content = await readConfined(folder, source);
    items.push({
      path: path.slice(1),
      mode: Number.parseInt(mode, 8),
      sizeBytes: content.length,
      content: () => [content],
    });
  }
  yield* tarStream(items, new Date(recipe.created));
}

async function readConfined(folder: string, source: string): Promise<Buffer> {
  try {
    const [root, path] = await Promise.all([realpath(folder), realpath(join(folder, source))]);
    if (!path.startsWith(root + sep)) throw new Error("it leads out of the recipe's folder");
    const info = await stat(path);
    if (!info.isFile()) throw new Error("it is not a file");
    if (info.size > MAX_FILE_BYTES) throw new Error(`it has more than ${MAX_FILE_BYTES} bytes`);
    return await readFile(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new MsbError(
      "MSB_ERR_INVALID_ARGUMENT",
      `The recipe's file ${source} cannot be used: ${code === "ENOENT" ? "it is not there" : message}. ` +
        `Correct "files" in ${join(folder, "recipe.json")}.`,
      { cause: error, details: { source } },
    );
  }
}
