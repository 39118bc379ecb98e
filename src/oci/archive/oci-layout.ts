/** Images of an OCI image layout (OCI image spec v1.1, image-layout.md), also with Docker's media types inside. */
import { isMsbError } from "../../errors.js";
import { type Digest, algorithmOf, hexOf, verifyBytes } from "../digest.js";
import {
  compressionOf,
  type Descriptor,
  type Index,
  INDEX_TYPES,
  layersOf,
  MANIFEST_TYPES,
  MAX_DOCUMENT_BYTES,
  parseImageConfig,
  parseManifestDocument,
  type Platform,
} from "../manifest.js";
import { choosePlatform, formatPlatform } from "../platform.js";
import { canonicalName, parseReference } from "../reference.js";
import type { BlobStore } from "../store/blob-store.js";
import { archiveTooLarge, invalidArchive, shown } from "./archive-error.js";
import { type ArchiveFiles, readSmall } from "./archive-files.js";
import type { ArchivedBlob, ArchivedImage } from "./archived-image.js";
import type { ArchiveLimits } from "./limits.js";

export const INDEX_FILE = "index.json";
export const LAYOUT_FILE = "oci-layout";
const MAX_LAYOUT_BYTES = 4096;
/** An index in an index in an index; honest ones stop at two. */
const MAX_INDEX_DEPTH = 4;

/** containerd and Docker write the full name here, and into the other only a tag. */
export const CONTAINERD_NAME = "io.containerd.image.name";
export const REF_NAME = "org.opencontainers.image.ref.name";

export function blobName(digest: Digest): string {
  return `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;
}

export interface LayoutOpts {
  readonly platform: Platform;
  readonly limits: ArchiveLimits;
  /** Layers that are there need not be in the layout. */
  readonly store: Pick<BlobStore, "has">;
}

/** Throws MSB_ERR_IMAGE_INVALID, MSB_ERR_IMAGE_LIMIT, MSB_ERR_IMAGE_PLATFORM, MSB_ERR_DIGEST_MISMATCH. */
export async function readLayout(files: ArchiveFiles, opts: LayoutOpts): Promise<ArchivedImage[]> {
  await checkVersion(files);
  const bytes = await readSmall(files, INDEX_FILE, MAX_DOCUMENT_BYTES);
  const document = parseManifestDocument(bytes);
  if (document.kind !== "index") throw invalidArchive(`its ${INDEX_FILE} is not an index`);
  const images = new Map<Digest, ArchivedImage>();
  for (const { descriptor, names } of topLevel(document.index, opts.platform)) {
    if (images.size >= opts.limits.maxImages) {
      throw archiveTooLarge("more images", "maxImages", opts.limits.maxImages);
    }
    const image = await readImage(files, descriptor, opts);
    const known = images.get(image.manifest.digest)?.names ?? [];
    const all = [...new Set([...known, ...names])].toSorted();
    images.set(image.manifest.digest, { ...image, names: all });
  }
  if (images.size === 0) throw invalidArchive(`its ${INDEX_FILE} names no image`);
  return [...images.values()];
}

async function checkVersion(files: ArchiveFiles): Promise<void> {
  // Required by the specification, and yet some tools forget it.
  if ((await files.sizeOf(LAYOUT_FILE)) === undefined) return;
  const text = (await readSmall(files, LAYOUT_FILE, MAX_LAYOUT_BYTES)).toString("utf8");
  const [, version] = /"imageLayoutVersion"\s*:\s*"([^"]*)"/.exec(text) ?? [];
  if (version === undefined || !version.startsWith("1.")) {
    throw invalidArchive(`its ${LAYOUT_FILE} has version ${shown(version ?? "none")}, not 1.x`);
  }
}

/**
 * The images that an index.json is about. Entries with the same name (or all without one) that differ in
 * platform are one image for several platforms, of which one is taken.
 */
function topLevel(
  { manifests }: Index,
  platform: Platform,
): { descriptor: Descriptor; names: string[] }[] {
  const groups = new Map<string, Descriptor[]>();
  for (const descriptor of manifests) {
    if (![...INDEX_TYPES, ...MANIFEST_TYPES].includes(descriptor.mediaType)) continue;
    if (descriptor.platform?.os === "unknown") continue;
    const key = namesOf(descriptor).join("\n");
    groups.set(key, [...(groups.get(key) ?? []), descriptor]);
  }
  return [...groups].flatMap(([key, group]) => {
    const names = key === "" ? [] : key.split("\n");
    const platforms = group.flatMap((entry) =>
      entry.platform ? [formatPlatform(entry.platform)] : [],
    );
    const isOneImage = group.length > 1 && new Set(platforms).size === group.length;
    const chosen = isOneImage
      ? [choosePlatform({ schemaVersion: 2, manifests: group }, platform)]
      : group;
    return chosen.map((descriptor) => ({ descriptor, names }));
  });
}

/** Canonical names; a mere tag (`latest`, as umoci and skopeo write it) names no image. */
function namesOf({ annotations }: Descriptor): string[] {
  const full = annotations?.[CONTAINERD_NAME];
  const ref = annotations?.[REF_NAME];
  const text = full ?? (ref !== undefined && /[:/]/.test(ref) ? ref : undefined);
  if (text === undefined) return [];
  try {
    return [canonicalName(parseReference(text))];
  } catch (error) {
    // The annotation may be any text.
    if (isMsbError(error, "MSB_ERR_INVALID_REFERENCE")) return [];
    throw error;
  }
}

async function readImage(
  files: ArchiveFiles,
  descriptor: Descriptor,
  opts: LayoutOpts,
  depth = 0,
): Promise<ArchivedImage> {
  if (depth > MAX_INDEX_DEPTH) {
    throw invalidArchive(`its indexes are nested more than ${MAX_INDEX_DEPTH} deep`);
  }
  const bytes = await readDocument(files, descriptor);
  const document = parseManifestDocument(bytes, descriptor.mediaType);
  if (document.kind === "index") {
    return readImage(files, choosePlatform(document.index, opts.platform), opts, depth + 1);
  }
  const { manifest } = document;
  const configBytes = await readDocument(files, manifest.config);
  // Throws when manifest and config do not agree on the layers.
  layersOf(manifest, parseImageConfig(configBytes));
  const blobs: ArchivedBlob[] = [];
  for (const layer of manifest.layers) {
    compressionOf(layer.mediaType);
    blobs.push({ descriptor: layer, from: { name: await layerName(files, layer, opts.store) } });
  }
  blobs.push({ descriptor: manifest.config, from: { bytes: configBytes } });
  blobs.push({ descriptor, from: { bytes } });
  const { mediaType, digest, size } = descriptor;
  return { manifest: { mediaType, digest, size }, names: [], blobs };
}

/** A small document, checked against its descriptor. */
async function readDocument(files: ArchiveFiles, descriptor: Descriptor): Promise<Buffer> {
  const bytes = await readSmall(files, blobName(descriptor.digest), MAX_DOCUMENT_BYTES);
  verifyBytes(bytes, descriptor);
  return bytes;
}

async function layerName(
  files: ArchiveFiles,
  layer: Descriptor,
  store: Pick<BlobStore, "has">,
): Promise<string> {
  const name = blobName(layer.digest);
  const size = await files.sizeOf(name);
  if (size === undefined && !(await store.has(layer))) {
    throw invalidArchive(`its layer ${shown(name)} is missing`);
  }
  if (size !== undefined && size !== layer.size) {
    throw invalidArchive(
      `its layer ${shown(name)} has ${size} bytes, its manifest says ${layer.size}`,
    );
  }
  return name;
}
