/** The files of an OCI layout for some images of the store, in an order that depends on nothing but the images. */
import { MsbError } from "../../errors.js";
import type { Digest } from "../digest.js";
import { type Descriptor, type Manifest, MediaType, parseManifestDocument } from "../manifest.js";
import { familiarName, type ImageReference, parseReference } from "../reference.js";
import type { BlobStore } from "../store/blob-store.js";
import { DOCKER_MANIFEST_FILE } from "./docker-archive.js";
import { blobName, CONTAINERD_NAME, INDEX_FILE, LAYOUT_FILE, REF_NAME } from "./oci-layout.js";

export interface SavedImage {
  /** Of an image that is whole in the store. */
  readonly manifest: Descriptor;
  /** Canonical names; the archive tells them to whoever loads it. */
  readonly names: readonly string[];
}

export interface LayoutFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly content: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/**
 * `withDockerTable` adds the manifest.json of `docker save`, whose layers are the blobs as they are stored; Docker
 * unpacks them itself. Throws MSB_ERR_IMAGE_NOT_FOUND when an image is not whole.
 */
export async function layoutFiles(
  images: readonly SavedImage[],
  store: Pick<BlobStore, "read" | "stream">,
  opts: { withDockerTable: boolean; signal?: AbortSignal },
): Promise<LayoutFile[]> {
  const blobs = new Map<Digest, Descriptor>();
  const dockerTable: unknown[] = [];
  for (const { manifest: descriptor, names } of images) {
    const manifest = await readManifest(descriptor, store);
    for (const blob of [descriptor, manifest.config, ...manifest.layers]) {
      blobs.set(blob.digest, blob);
    }
    dockerTable.push(dockerEntry(manifest, names));
  }
  const signal = opts.signal && { signal: opts.signal };
  const files = [...blobs.values()].map((blob) => ({
    path: blobName(blob.digest),
    sizeBytes: blob.size,
    content: () => store.stream(blob, signal),
  }));
  const documents = [
    jsonFile(LAYOUT_FILE, { imageLayoutVersion: "1.0.0" }),
    jsonFile(INDEX_FILE, indexOf(images)),
    ...(opts.withDockerTable ? [jsonFile(DOCKER_MANIFEST_FILE, dockerTable)] : []),
  ];
  return [...files, ...documents].toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

async function readManifest(
  descriptor: Descriptor,
  store: Pick<BlobStore, "read" | "stream">,
): Promise<Manifest> {
  const bytes = await store.read(descriptor);
  const document = bytes && parseManifestDocument(bytes, descriptor.mediaType);
  if (document?.kind === "manifest") return document.manifest;
  throw new MsbError(
    "MSB_ERR_IMAGE_NOT_FOUND",
    `The image ${descriptor.digest} is not whole in the store: pull or load it again.`,
    { details: { digest: descriptor.digest } },
  );
}

/** One entry for each name. No platforms: entries without a name would look like one image for several of them. */
function indexOf(images: readonly SavedImage[]): unknown {
  const tagCounts = new Map<string, number>();
  for (const { tag } of images.flatMap(({ names }) => names.map(parse))) {
    if (tag !== null) tagCounts.set(tag, (tagCounts.get(tag) ?? 0) + 1);
  }
  const manifests = images.flatMap(({ manifest: { mediaType, digest, size }, names }) => {
    if (names.length === 0) return [{ mediaType, digest, size }];
    return names.toSorted().map((name) => {
      const { tag } = parse(name);
      // Tools take an image out by this name; a bare tag is the custom, as long as it is unique.
      const refName = tag !== null && tagCounts.get(tag) === 1 ? tag : name;
      return {
        mediaType,
        digest,
        size,
        annotations: { [CONTAINERD_NAME]: name, [REF_NAME]: refName },
      };
    });
  });
  return { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests };
}

function dockerEntry(manifest: Manifest, names: readonly string[]): unknown {
  const tags = names.map(parse).filter(({ tag, digest }) => tag !== null && digest === null);
  return {
    Config: blobName(manifest.config.digest),
    RepoTags: tags.length === 0 ? null : tags.map((ref) => familiarName(ref)).toSorted(),
    Layers: manifest.layers.map(({ digest }) => blobName(digest)),
  };
}

function parse(name: string): ImageReference {
  return parseReference(name);
}

function jsonFile(path: string, value: unknown): LayoutFile {
  const bytes = Buffer.from(JSON.stringify(value));
  return { path, sizeBytes: bytes.length, content: () => [bytes] };
}
