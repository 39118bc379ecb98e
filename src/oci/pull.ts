/**
 * From a reference to an image in the store: manifest, then config, then layers. Everything is pinned before it is
 * looked for, and the manifest is stored last, so that an image whose manifest is there is whole.
 */
import { isMsbError, MsbError } from "../errors.js";
import { forEachBounded } from "../util/bounded.js";
import { printable } from "../util/printable.js";
import type { OnProgress } from "../util/progress.js";
import { type Digest, shortDigest } from "./digest.js";
import type { ImageInfo } from "./image.js";
import {
  compressionOf,
  type Descriptor,
  type ImageConfig,
  layersOf,
  type Manifest,
  MAX_DOCUMENT_BYTES,
  MediaType,
  parseImageConfig,
  type Platform,
} from "./manifest.js";
import { choosePlatform } from "./platform.js";
import { familiarName, type ImageReference } from "./reference.js";
import type { RegistryClient } from "./registry/registry-client.js";
import { platformOf } from "./store/image-info.js";
import type { ImageStore } from "./store/image-store.js";
import type { ImagePin } from "./store/pin.js";

/** An index may list indexes; nobody has made one yet that goes deeper than this. */
const MAX_INDEX_DEPTH = 3;
const PARALLEL_LAYERS = 3;

/** Where images come from; `RegistryClient` is one. */
export type ImageSource = Pick<RegistryClient, "getManifest" | "openBlob">;

export interface FetchLayersOpts {
  readonly source: ImageSource;
  readonly store: ImageStore;
  readonly parallelLayers?: number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PullOpts extends FetchLayersOpts {
  readonly platform: Platform;
  /** Holds the image for the caller, also when this has returned. */
  readonly pin: ImagePin;
  /** Done with the whole image before it gets its name: when it throws, the name stays with what had it. */
  readonly prepare?: (image: ImageInfo) => Promise<void>;
}

interface FoundManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
  readonly manifest: Manifest;
}

/**
 * Brings what of the image the store does not have, and gives it its name. Throws what the source and the store
 * throw, MSB_ERR_IMAGE_PLATFORM, and MSB_ERR_IMAGE_INVALID.
 */
export async function pullImage(ref: ImageReference, opts: PullOpts): Promise<ImageInfo> {
  const { store, pin, onProgress } = opts;
  const name = familiarName(ref);
  const task = { id: `image ${name}`, label: name, doneBytes: 0, totalBytes: null };
  onProgress?.({ ...task, state: "running", note: "resolving" });
  const found = await findManifest(ref, opts);
  const { descriptor, bytes, manifest } = found;
  const layers = distinct(manifest.layers);
  for (const layer of layers) compressionOf(layer.mediaType);
  await pin.add(descriptor.digest, manifest.config.digest, ...layers.map(({ digest }) => digest));
  const config = await fetchConfig(ref, manifest.config, opts);
  checkPlatform(descriptor, config, opts.platform);
  layersOf(manifest, config);
  await fetchLayers(ref, layers, opts);
  await keepManifest(descriptor, bytes, store);
  await opts.prepare?.(await store.load(descriptor));
  await store.tag(ref, descriptor);
  onProgress?.({ ...task, state: "done" });
  return store.load(descriptor);
}

/** Brings those of the layers that the store does not have. The caller has pinned them. */
export async function fetchLayers(
  ref: ImageReference,
  layers: readonly Descriptor[],
  opts: FetchLayersOpts,
): Promise<void> {
  const limit = opts.parallelLayers ?? PARALLEL_LAYERS;
  const what = `Pulling ${familiarName(ref)}`;
  await forEachBounded(layers, { limit, signal: opts.signal, what }, (layer, signal) =>
    fetchBlob(ref, layer, `layer ${shortDigest(layer.digest)}`, { ...opts, signal }),
  );
}

/** Through indexes to the manifest for the platform. */
async function findManifest(ref: ImageReference, opts: PullOpts): Promise<FoundManifest> {
  const { source, platform, signal } = opts;
  const common = signal === undefined ? {} : { signal };
  let digest: Digest | undefined;
  for (let depth = 0; depth <= MAX_INDEX_DEPTH; depth++) {
    const asked = digest === undefined ? common : { ...common, digest };
    const { descriptor, bytes, document } = await source.getManifest(ref, asked);
    if (document.kind === "manifest") return { descriptor, bytes, manifest: document.manifest };
    digest = choosePlatform(document.index, platform).digest;
  }
  throw new MsbError(
    "MSB_ERR_IMAGE_INVALID",
    `${printable(familiarName(ref))} is an index of indexes, more than ${MAX_INDEX_DEPTH} deep. Ask whoever made ` +
      "the image, or try another tag.",
  );
}

async function fetchConfig(
  ref: ImageReference,
  descriptor: Descriptor,
  opts: PullOpts,
): Promise<ImageConfig> {
  const { digest, size } = descriptor;
  if (size > MAX_DOCUMENT_BYTES) {
    throw new MsbError(
      "MSB_ERR_IMAGE_LIMIT",
      `The config ${digest} of ${familiarName(ref)} is said to have ${size} bytes, the limit is ` +
        `${MAX_DOCUMENT_BYTES}. Ask whoever made the image, or try another tag.`,
    );
  }
  const bytes = await readSound(descriptor, opts.store, () =>
    fetchBlob(ref, descriptor, "config", opts),
  );
  return parseImageConfig(bytes);
}

/** The document; brought when it is not there, and once more when it was there and spoilt. */
async function readSound(
  descriptor: Descriptor,
  store: ImageStore,
  bring: () => Promise<void>,
): Promise<Buffer> {
  const present = await store.blobs.read(descriptor).catch((error: unknown) => {
    if (!isMsbError(error, "MSB_ERR_DIGEST_MISMATCH")) throw error;
  });
  if (present !== undefined) return present;
  await bring();
  const bytes = await store.blobs.read(descriptor);
  if (bytes !== undefined) return bytes;
  throw new MsbError("MSB_ERR_INTERNAL", `${descriptor.digest} is gone although it is pinned.`);
}

async function keepManifest(
  descriptor: Descriptor,
  bytes: Buffer,
  store: ImageStore,
): Promise<void> {
  await readSound(descriptor, store, () =>
    store.blobs.fetch(descriptor, async () => ({ offset: 0, body: once(bytes) })),
  );
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer, void, undefined> {
  yield bytes;
}

async function fetchBlob(
  ref: ImageReference,
  descriptor: Descriptor,
  label: string,
  { source, store, onProgress, signal }: FetchLayersOpts,
): Promise<void> {
  const fetchFrom = (mirrors: "use" | "skip"): Promise<void> =>
    store.blobs.fetch(
      descriptor,
      (offset, blobSignal) =>
        source.openBlob(ref, descriptor, {
          offset,
          mirrors,
          ...(blobSignal === undefined ? {} : { signal: blobSignal }),
        }),
      { label, onProgress, signal },
    );
  try {
    await fetchFrom("use");
  } catch (error) {
    if (!isMsbError(error, "MSB_ERR_DIGEST_MISMATCH")) throw error;
    // A mirror may be wrong where the registry itself is not.
    await fetchFrom("skip");
  }
}

/** A manifest that is not in an index says only in its config what it runs on. */
function checkPlatform(descriptor: Descriptor, config: ImageConfig, wanted: Platform): void {
  // What kind of document it is has been seen; a registry may call it anything.
  const entry = { ...descriptor, mediaType: MediaType.ociManifest, platform: platformOf(config) };
  choosePlatform({ schemaVersion: 2, manifests: [entry] }, wanted);
}

function distinct(layers: readonly Descriptor[]): Descriptor[] {
  return [...new Map(layers.map((layer) => [layer.digest, layer])).values()];
}
