/**
 * Images come out of an archive into the store: `docker save`'s tar, an OCI layout as tar or folder, packed or not,
 * from a path or a stream. First the whole archive is understood, then its blobs are stored, each checked against
 * its digest; an archive that is refused leaves nothing but, at most, whole blobs that no image names.
 */
import { abortReason } from "../../util/async.js";
import type { OnProgress } from "../../util/progress.js";
import type { Digest } from "../digest.js";
import type { Descriptor, Platform } from "../manifest.js";
import { hostPlatform } from "../platform.js";
import type { BlobStore } from "../store/blob-store.js";
import { invalidArchive } from "./archive-error.js";
import type { ArchiveFiles } from "./archive-files.js";
import { type ArchivedImage, storeImage } from "./archived-image.js";
import { DOCKER_MANIFEST_FILE, readDockerArchive } from "./docker-archive.js";
import { type ArchiveLimits, DEFAULT_ARCHIVE_LIMITS } from "./limits.js";
import { INDEX_FILE, readLayout } from "./oci-layout.js";
import { openArchive } from "./open-archive.js";

export interface LoadArchiveOpts {
  readonly store: Pick<BlobStore, "fetch" | "has">;
  /** Where streams and packed archives are spooled; on the disk of the store. */
  readonly tempDir: string;
  /** Of an image for several platforms, which one; default the host's. */
  readonly platform?: Platform;
  readonly limits?: Partial<ArchiveLimits>;
  /** Keeps the blobs of what is being loaded from being pruned; asked before the first is stored. */
  readonly pin?: { add(...digests: Digest[]): Promise<void> };
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

export interface LoadedImage {
  /** In the store, with all that it names. */
  readonly manifest: Descriptor;
  /** Canonical names that the archive has for it, sorted; the caller tags it. */
  readonly names: readonly string[];
}

/**
 * `source` is the path of a tar file or a layout folder, or a tar stream. Throws MSB_ERR_INVALID_ARGUMENT,
 * MSB_ERR_IMAGE_INVALID, MSB_ERR_IMAGE_LIMIT, MSB_ERR_IMAGE_PLATFORM, MSB_ERR_INVALID_REFERENCE,
 * MSB_ERR_DIGEST_MISMATCH, MSB_ERR_ABORTED, and what the stream and the store throw.
 */
export async function loadArchive(
  source: string | AsyncIterable<Uint8Array>,
  opts: LoadArchiveOpts,
): Promise<LoadedImage[]> {
  const { store, tempDir, pin, onProgress, signal } = opts;
  const limits = { ...DEFAULT_ARCHIVE_LIMITS, ...opts.limits };
  const common = { ...(signal !== undefined && { signal }), limits };
  try {
    await using files = await openArchive(source, { ...common, tempDir });
    const platform = opts.platform ?? hostPlatform();
    const images = await readImages(files, { ...common, store, platform });
    await pin?.add(
      ...images.flatMap(({ blobs }) => blobs.map(({ descriptor }) => descriptor.digest)),
    );
    for (const image of images) {
      await storeImage(image, files, store, {
        ...(onProgress !== undefined && { onProgress }),
        ...(signal !== undefined && { signal }),
      });
    }
    return images.map(({ manifest, names }) => ({ manifest, names }));
  } catch (error) {
    // Whatever an aborted step throws, it was aborted.
    if (signal?.aborted) throw abortReason(signal, "Loading the image archive");
    throw error;
  }
}

/** Newer `docker save` writes both tables; the layout keeps the manifests as they were. */
async function readImages(
  files: ArchiveFiles,
  opts: Parameters<typeof readLayout>[1] & { signal?: AbortSignal },
): Promise<ArchivedImage[]> {
  if ((await files.sizeOf(INDEX_FILE)) !== undefined) return await readLayout(files, opts);
  if ((await files.sizeOf(DOCKER_MANIFEST_FILE)) !== undefined) {
    return await readDockerArchive(files, opts);
  }
  if ((await files.sizeOf("repositories")) !== undefined) {
    throw invalidArchive("it has the format of Docker before 1.10, which is not read any more");
  }
  throw invalidArchive(
    `it has neither ${INDEX_FILE} (OCI layout) nor ${DOCKER_MANIFEST_FILE} (docker save) at its top`,
  );
}
