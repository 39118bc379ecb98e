/**
 * Removes what nothing needs: mark from names, pins and what is in use, then sweep. Runs under the exclusive store
 * lock, so that no name and no pin comes while it looks.
 */
import type { MsbPaths } from "../../paths.js";
import { sweepTemp } from "../../util/atomic-file.js";
import { type Digest, hexOf } from "../digest.js";
import { imageDiskKey } from "../image-disk.js";
import type { RemovedImages } from "../image.js";
import type { BlobStore } from "./blob-store.js";
import { contentOf } from "./image-info.js";
import type { ImageReader } from "./image-reader.js";
import { fileSize, namesIn, removeFile, removeIfFree } from "./store-files.js";

export interface StoreParts {
  readonly paths: MsbPaths;
  readonly blobs: BlobStore;
  readonly reader: ImageReader;
}

/** What must stay. */
export interface Marked {
  readonly blobs: ReadonlySet<Digest>;
  /** Keys of disks; null when an image that needs its disk cannot be read, so that all of them stay. */
  readonly disks: ReadonlySet<string> | null;
}

/** What to look at. */
export interface SweepScope {
  /** Only these blobs and disks; else everything, with what broke-off work has left. */
  readonly only?: { readonly blobs: ReadonlySet<Digest>; readonly disks: ReadonlySet<string> };
}

/** Everything that is reached from `roots`: manifests with what they name, and other digests for themselves. */
export async function mark(
  roots: Iterable<Digest>,
  inUse: ReadonlySet<Digest>,
  { reader }: StoreParts,
): Promise<Marked> {
  const blobs = new Set<Digest>();
  const disks = new Set<string>();
  let isSure = true;
  for (const digest of new Set([...roots, ...inUse])) {
    blobs.add(digest);
    // A pin can hold a disk that is being made, by its key.
    disks.add(hexOf(digest));
    const found = await reader.manifest(digest);
    if (found !== undefined) for (const content of contentOf(found)) blobs.add(content.digest);
    const image = await reader.documents(digest);
    if (image !== undefined) disks.add(imageDiskKey(image.config.rootfs.diff_ids));
    else if (inUse.has(digest)) isSure = false;
  }
  return { blobs, disks: isSure ? disks : null };
}

/** Removes what is not marked. `names` of the result are the caller's to say. */
export async function sweep(
  marked: Marked,
  parts: StoreParts,
  scope: SweepScope = {},
): Promise<Omit<RemovedImages, "names">> {
  const removed = await sweepBlobs(marked, parts, scope);
  const { paths } = parts;
  let freedBytes = removed.freedBytes + (await sweepDisks(marked, paths, scope));
  if (scope.only === undefined) {
    for (const name of await namesIn(paths.imagePartialRoot)) {
      freedBytes += await removeFree(paths.imagePartialFile(name));
    }
    await sweepTemp(paths.imageTagRoot);
    await sweepTemp(paths.imageDiskRoot);
  }
  return { digests: removed.digests, freedBytes };
}

async function sweepBlobs(
  marked: Marked,
  { blobs, reader }: StoreParts,
  { only }: SweepScope,
): Promise<Omit<RemovedImages, "names">> {
  const stale = (await reader.digests()).filter(
    (digest) => !marked.blobs.has(digest) && (only?.blobs.has(digest) ?? true),
  );
  const images = new Set<Digest>();
  for (const digest of stale) {
    if ((await reader.manifest(digest)) !== undefined) images.add(digest);
  }
  let freedBytes = 0;
  // Manifests first: should this be cut short, no image is left that lacks a part.
  for (const digest of stale.toSorted((a, b) => Number(images.has(b)) - Number(images.has(a)))) {
    const size = (await blobs.sizeOf(digest)) ?? 0;
    if (await removeFile(blobs.pathOf(digest))) freedBytes += size;
  }
  return { digests: [...images], freedBytes };
}

/** A disk that is locked has a user. The locks beside them, under which disks are made, are left by dead makers. */
async function sweepDisks(marked: Marked, paths: MsbPaths, { only }: SweepScope): Promise<number> {
  if (marked.disks === null) return 0;
  let freedBytes = 0;
  for (const name of await namesIn(paths.imageDiskRoot)) {
    const [, key, isLock] = /^([0-9a-f]{64})\.erofs(\.lock)?$/.exec(name) ?? [];
    if (key === undefined || (isLock === undefined && marked.disks.has(key))) continue;
    if (only !== undefined && !only.disks.has(key)) continue;
    freedBytes += await removeFree(paths.imageDiskFile(name));
  }
  return freedBytes;
}

/** Bytes freed. */
async function removeFree(path: string): Promise<number> {
  const size = await fileSize(path);
  return size !== undefined && (await removeIfFree(path)) ? size : 0;
}
