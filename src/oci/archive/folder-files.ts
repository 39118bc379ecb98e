/** A layout folder. Links in it are followed, as builders make blobs links into their cache. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { type ArchiveFiles, readRange } from "./archive-files.js";
import { invalidArchive, shown } from "./archive-error.js";

/** The names that an image layout has (OCI image spec, image-layout.md); no other is looked for in a folder. */
const LAYOUT_NAME = /^(?:oci-layout|index\.json|blobs\/(?:sha256|sha512)\/[0-9a-f]+)$/;

export class FolderFiles implements ArchiveFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async sizeOf(name: string): Promise<number | undefined> {
    const file = await this.#open(name);
    try {
      return (await file?.stat())?.size;
    } finally {
      await file?.close();
    }
  }

  async *open(name: string, offset = 0): AsyncGenerator<Buffer, void, undefined> {
    const file = await this.#open(name);
    if (file === undefined) throw invalidArchive(`its file ${shown(name)} is missing`);
    try {
      const { size } = await file.stat();
      yield* readRange(file, offset, Math.max(0, size - offset), name);
    } finally {
      await file.close();
    }
  }

  async #open(name: string) {
    if (!LAYOUT_NAME.test(name)) return undefined;
    try {
      // A fifo must not make us wait for its writer.
      const file = await open(join(this.#folder, name), constants.O_RDONLY | constants.O_NONBLOCK);
      if ((await file.stat()).isFile()) return file;
      await file.close();
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? "";
      if (["ENOENT", "ENOTDIR"].includes(code)) return undefined;
      throw invalidArchive(`its file ${shown(name)} cannot be read (${code})`, error);
    }
    throw invalidArchive(`its file ${shown(name)} is not a regular file`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nothing is kept open.
  }
}
