/** The read-only disk of an image: made once, by whoever needs it first, and shared by all of its sandboxes. */
import { createHash } from "node:crypto";
import { mkdir, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { uuidFromDigest } from "../disk/erofs-format.js";
import { FileLock } from "../native/file-lock.js";
import type { MsbPaths } from "../paths.js";
import { replaceFile } from "../util/atomic-file.js";
import { fileError } from "../util/file-error.js";
import type { OnProgress } from "../util/progress.js";
import type { Digest } from "./digest.js";
import type { ImageDiskInfo, ImageInfo } from "./image.js";
import { DEFAULT_LAYER_LIMITS, type LayerLimits } from "./layer/limits.js";
import { writeImage } from "./layer/write-image.js";
import { ProgressMeter } from "./store/progress-meter.js";
import type { BlobStore } from "./store/blob-store.js";

/** Changes when the same layers make other bytes. */
const FORMAT_VERSION = 1;

export interface EnsureImageDiskOpts {
  readonly store: { readonly blobs: Pick<BlobStore, "stream"> };
  readonly paths: MsbPaths;
  readonly limits?: Partial<LayerLimits>;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** Names the disk of the image that has these layers, lowest first: 64 hex digits. */
export function imageDiskKey(diffIds: readonly Digest[]): string {
  const text = [`msb-image-disk ${FORMAT_VERSION}`, ...diffIds].join("\n");
  return createHash("sha256").update(text).digest("hex");
}

/**
 * The disk of `image`, made from the store's layers if it is not there: once for all processes that want it, and
 * either whole or not at all. Throws MSB_ERR_IMAGE_INVALID, MSB_ERR_UNSAFE_LAYER, MSB_ERR_IMAGE_LIMIT,
 * MSB_ERR_DIGEST_MISMATCH, MSB_ERR_IMAGE_NOT_FOUND (a layer is missing), MSB_ERR_NO_SPACE, MSB_ERR_ABORTED.
 */
export async function ensureImageDisk(
  image: Pick<ImageInfo, "layers">,
  opts: EnsureImageDiskOpts,
): Promise<ImageDiskInfo> {
  const key = imageDiskKey(image.layers.map((layer) => layer.diffId));
  const path = opts.paths.imageDisk(key);
  const ready = await findDisk(path);
  if (ready !== undefined) return ready;
  try {
    await mkdir(dirname(path), { recursive: true });
    const lockPath = `${path}.lock`;
    await using _ = await FileLock.acquire(lockPath, "exclusive", { signal: opts.signal });
    try {
      return (await findDisk(path)) ?? (await makeDisk(path, key, image.layers, opts));
    } finally {
      // While it is held: who waits for it notices and makes a new one.
      await rm(lockPath, { force: true });
    }
  } catch (error) {
    throw fileError(error, path, "made");
  }
}

async function findDisk(path: string): Promise<ImageDiskInfo | undefined> {
  const info = await stat(path).catch(() => undefined);
  return info?.isFile() === true ? { path, sizeBytes: info.size } : undefined;
}

async function makeDisk(
  path: string,
  key: string,
  layers: ImageInfo["layers"],
  opts: EnsureImageDiskOpts,
): Promise<ImageDiskInfo> {
  const { store, onProgress, signal } = opts;
  const totalBytes = layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
  const meter = new ProgressMeter({ id: `disk ${key}`, label: "disk", totalBytes }, onProgress);
  const sources = layers.map(({ descriptor, diffId }) => ({
    diffId,
    open: () => store.blobs.stream(descriptor, signal === undefined ? {} : { signal }),
  }));
  meter.set("running");
  const info = await replaceFile(
    path,
    (file, tempPath) =>
      writeImage(file, tempPath, sources, {
        limits: { ...DEFAULT_LAYER_LIMITS, ...opts.limits },
        uuid: uuidFromDigest(Buffer.from(key, "hex")),
        onRead: (readBytes) => meter.advance(readBytes),
        ...(signal === undefined ? {} : { signal }),
      }),
    { mode: 0o444 },
  );
  meter.set("done", { doneBytes: totalBytes });
  return { path, sizeBytes: info.sizeBytes };
}
