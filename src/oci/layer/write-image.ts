/** Layers to one EROFS disk: each layer is read once, and data goes to the disk as it is decompressed. */
import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { ErofsImage, type ErofsImageInfo } from "../../disk/erofs-image.js";
import { tailRoom } from "../../disk/erofs-layout.js";
import type { FileContent } from "../../disk/erofs-data.js";
import { isMsbError, MsbError } from "../../errors.js";
import { throwIfAborted } from "../../util/async.js";
import { counting } from "../../util/counting.js";
import { algorithmOf, type Digest, hexOf } from "../digest.js";
import { decompressed } from "./decompress.js";
import { FileTree } from "./file-tree.js";
import { tooLarge } from "./layer-error.js";
import type { LayerLimits } from "./limits.js";
import { type OpenTarEntry, TarReader } from "./tar-reader.js";

const READ_BYTES = 1024 ** 2;

export interface LayerSource {
  /** Of the uncompressed layer. */
  readonly diffId: Digest;
  /** The layer as it is stored; whoever opens it checks its digest. */
  readonly open: () => AsyncIterable<Buffer>;
}

export interface WriteImageOpts {
  readonly limits: LayerLimits;
  /** 16 bytes. */
  readonly uuid: Uint8Array;
  /** Compressed bytes read so far. */
  readonly onRead?: (readBytes: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Fills the empty file `disk` (named `path`) with the file system that `layers` make, lowest first.
 * Throws MSB_ERR_IMAGE_INVALID, MSB_ERR_UNSAFE_LAYER, MSB_ERR_IMAGE_LIMIT, MSB_ERR_DIGEST_MISMATCH, MSB_ERR_ABORTED,
 * what a layer's `open` throws, and errors of the file system. After an error the file is not to be used.
 */
export async function writeImage(
  disk: FileHandle,
  path: string,
  layers: readonly LayerSource[],
  opts: WriteImageOpts,
): Promise<ErofsImageInfo> {
  await using image = await ErofsImage.begin(disk, path);
  const tree = new FileTree();
  const budget = new Budget(opts.limits);
  let readBytes = 0;
  const onBytes = (count: number): void => {
    throwIfAborted(opts.signal, "Making the image's disk");
    readBytes += count;
    opts.onRead?.(readBytes);
  };
  for (const layer of layers) {
    tree.beginLayer();
    try {
      const plain = decompressed(counting(layer.open(), onBytes), opts.limits);
      await addLayer(new TarReader(withDigest(plain, layer.diffId)), { tree, image, budget });
    } catch (error) {
      if (isMsbError(error) && error.code !== "MSB_ERR_ABORTED") await drain(layer.open());
      throw error;
    }
  }
  // Awaited here, because the spool is closed on return.
  return await image.finish(tree.root, { uuid: opts.uuid });
}

async function addLayer(
  reader: TarReader,
  { tree, image, budget }: { tree: FileTree; image: ErofsImage; budget: Budget },
): Promise<void> {
  try {
    for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
      budget.take(entry);
      const content = entry.kind === "file" ? await copyFile(reader, entry, image) : undefined;
      tree.add(entry, content);
    }
  } finally {
    await reader.close();
  }
}

/** A layer that makes no sense may just be spoilt in the store: whoever opened it says so when all was read. */
async function drain(source: AsyncIterable<Buffer>): Promise<void> {
  for await (const _ of source);
}

async function copyFile(
  reader: TarReader,
  entry: OpenTarEntry,
  { data }: ErofsImage,
): Promise<FileContent> {
  data.begin(entry.sizeBytes, tailRoom(entry.xattrs));
  let position = 0;
  for (const run of entry.runs) {
    await data.writeZeros(run.offset - position);
    position = run.offset + run.length;
    for (let missing = run.length; missing > 0;) {
      const chunk = await reader.data(Math.min(READ_BYTES, missing));
      missing -= chunk!.length;
      await data.write(chunk!);
    }
  }
  await data.writeZeros(entry.sizeBytes - position);
  return data.end();
}

/** Counts what an image takes of its limits. */
class Budget {
  readonly #limits: LayerLimits;
  #entries = 0;
  #fileBytes = 0;

  constructor(limits: LayerLimits) {
    this.#limits = limits;
  }

  take(entry: OpenTarEntry): void {
    const { maxEntries, maxFileBytes } = this.#limits;
    this.#entries += 1;
    this.#fileBytes += entry.sizeBytes;
    if (this.#entries > maxEntries)
      throw tooLarge("An image has more entries", "maxEntries", maxEntries);
    if (this.#fileBytes > maxFileBytes) {
      throw tooLarge("An image's files have more bytes", "maxFileBytes", maxFileBytes);
    }
  }
}

/** Passes `source` on; throws at its end when it was another layer than the image's config says. */
async function* withDigest(
  source: AsyncIterable<Buffer>,
  diffId: Digest,
): AsyncGenerator<Buffer, void, undefined> {
  const hash = createHash(algorithmOf(diffId));
  for await (const chunk of source) {
    hash.update(chunk);
    yield chunk;
  }
  if (hash.digest("hex") === hexOf(diffId)) return;
  throw new MsbError(
    "MSB_ERR_DIGEST_MISMATCH",
    `A layer of the image is not the one its config names (${diffId}). The image was published like this, by ` +
      "mistake or to deceive; ask whoever made it, or try another tag.",
    { details: { diffId } },
  );
}
