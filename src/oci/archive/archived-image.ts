/** One image of an archive, understood but not yet in the store; and the way into it. */
import type { OnProgress } from "../../util/progress.js";
import type { Descriptor } from "../manifest.js";
import type { BlobStore } from "../store/blob-store.js";
import type { ArchiveFiles } from "./archive-files.js";

/** A blob and where its bytes are: in a file of the archive, or, being small, here. */
export interface ArchivedBlob {
  readonly descriptor: Descriptor;
  readonly from: { readonly name: string } | { readonly bytes: Buffer };
}

export interface ArchivedImage {
  readonly manifest: Descriptor;
  /** Canonical names, sorted. */
  readonly names: readonly string[];
  /** Lowest layers first, then config, then manifest: what names others is stored after them. */
  readonly blobs: readonly ArchivedBlob[];
}

/** Puts all blobs of `image` into the store. Throws MSB_ERR_DIGEST_MISMATCH. */
export async function storeImage(
  image: ArchivedImage,
  files: ArchiveFiles,
  store: Pick<BlobStore, "fetch">,
  opts: { onProgress?: OnProgress; signal?: AbortSignal },
): Promise<void> {
  for (const { descriptor, from } of image.blobs) {
    await store.fetch(
      descriptor,
      async (offset) =>
        "name" in from
          ? { offset, body: files.open(from.name, offset) }
          : { offset: 0, body: only(from.bytes) },
      opts,
    );
  }
}

async function* only(bytes: Buffer): AsyncGenerator<Buffer, void, undefined> {
  yield bytes;
}
