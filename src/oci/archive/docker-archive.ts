/**
 * Images of `docker save`: manifest.json lists for each image its config, its names and the tar files of its layers
 * (Docker image spec v1.2, "Combined Image JSON + Filesystem Changeset Format"). Such an image has no manifest;
 * it gets an OCI one. The older format without manifest.json (before Docker 1.10) is not read.
 */
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { createHash } from "node:crypto";
import { MsbError } from "../../errors.js";
import { type Digest, digestOf, hexOf } from "../digest.js";
import { decompressed } from "../layer/decompress.js";
import {
  type Descriptor,
  MAX_DOCUMENT_BYTES,
  MAX_LAYERS,
  MediaType,
  parseImageConfig,
} from "../manifest.js";
import { canonicalName, parseReference } from "../reference.js";
import { archiveTooLarge, invalidArchive, shown } from "./archive-error.js";
import { type ArchiveFiles, readSmall } from "./archive-files.js";
import type { ArchivedBlob, ArchivedImage } from "./archived-image.js";
import type { ArchiveLimits } from "./limits.js";

export const DOCKER_MANIFEST_FILE = "manifest.json";
/** What older Docker versions write for an image without a name. */
const NO_NAME = "<none>:<none>";

const Name = Type.String({ minLength: 1, maxLength: 4096 });
const DockerManifestSchema = Type.Array(
  Type.Object({
    Config: Name,
    RepoTags: Type.Optional(Type.Union([Type.Array(Name, { maxItems: 1000 }), Type.Null()])),
    Layers: Type.Union([Type.Array(Name, { maxItems: MAX_LAYERS }), Type.Null()]),
  }),
  { minItems: 1 },
);
type DockerImage = Static<typeof DockerManifestSchema>[number];

/** Throws MSB_ERR_IMAGE_INVALID, MSB_ERR_IMAGE_LIMIT, MSB_ERR_INVALID_REFERENCE, MSB_ERR_DIGEST_MISMATCH. */
export async function readDockerArchive(
  files: ArchiveFiles,
  opts: { limits: ArchiveLimits; signal?: AbortSignal },
): Promise<ArchivedImage[]> {
  const list = parseList(await readSmall(files, DOCKER_MANIFEST_FILE, MAX_DOCUMENT_BYTES));
  if (list.length > opts.limits.maxImages) {
    throw archiveTooLarge("more images", "maxImages", opts.limits.maxImages);
  }
  const images: ArchivedImage[] = [];
  for (const item of list) images.push(await readImage(files, item, opts));
  return images;
}

function parseList(bytes: Buffer): DockerImage[] {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw invalidArchive(`its ${DOCKER_MANIFEST_FILE} is not JSON in UTF-8`, error);
  }
  const wrong = Value.Errors(DockerManifestSchema, json).First();
  if (wrong === undefined) return json as DockerImage[];
  throw invalidArchive(
    `its ${DOCKER_MANIFEST_FILE} is not one: at ${shown(wrong.path)}, ${shown(wrong.message)}`,
  );
}

async function readImage(
  files: ArchiveFiles,
  { Config, RepoTags, Layers }: DockerImage,
  opts: { limits: ArchiveLimits; signal?: AbortSignal },
): Promise<ArchivedImage> {
  const configBytes = await readSmall(files, Config, MAX_DOCUMENT_BYTES);
  const configDigest = digestOf(configBytes);
  const named = digestInName(Config);
  if (named !== undefined && named !== configDigest) throw wrongDigest(Config, configDigest);
  const { rootfs } = parseImageConfig(configBytes);
  const layerNames = Layers ?? [];
  if (layerNames.length !== rootfs.diff_ids.length) {
    throw invalidArchive(
      `${shown(Config)} names ${rootfs.diff_ids.length} layers, ${DOCKER_MANIFEST_FILE} ${layerNames.length}`,
    );
  }
  const blobs: ArchivedBlob[] = [];
  for (const [index, name] of layerNames.entries()) {
    const descriptor = await describeLayer(files, name, rootfs.diff_ids[index]!, opts);
    blobs.push({ descriptor, from: { name } });
  }
  const config: Descriptor = {
    mediaType: MediaType.ociConfig,
    digest: configDigest,
    size: configBytes.length,
  };
  const manifestBytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MediaType.ociManifest,
      config,
      layers: blobs.map(({ descriptor }) => descriptor),
    }),
  );
  const manifest: Descriptor = {
    mediaType: MediaType.ociManifest,
    digest: digestOf(manifestBytes),
    size: manifestBytes.length,
  };
  blobs.push({ descriptor: config, from: { bytes: configBytes } });
  blobs.push({ descriptor: manifest, from: { bytes: manifestBytes } });
  const tags = (RepoTags ?? []).filter((tag) => tag !== NO_NAME);
  const names = [...new Set(tags.map((tag) => canonicalName(parseReference(tag))))].toSorted();
  return { manifest, names, blobs };
}

/**
 * A plain layer's digest is its diff id, and the store checks that. A packed one's is nowhere to be found, so it
 * is read here once more, and what it unpacks to is checked.
 */
async function describeLayer(
  files: ArchiveFiles,
  name: string,
  diffId: Digest,
  { limits, signal }: { limits: ArchiveLimits; signal?: AbortSignal },
): Promise<Descriptor> {
  const size = await files.sizeOf(name);
  if (size === undefined) throw invalidArchive(`its layer ${shown(name)} is missing`);
  const mediaType = await mediaTypeOf(files, name);
  if (mediaType === MediaType.ociLayer) return { mediaType, digest: diffId, size };
  const packed = createHash("sha256");
  const plain = createHash("sha256");
  const source = (async function* () {
    for await (const chunk of files.open(name)) {
      signal?.throwIfAborted();
      packed.update(chunk);
      yield chunk;
    }
  })();
  const caps = { maxLayerBytes: limits.maxSpooledBytes, maxRatio: limits.maxRatio };
  for await (const chunk of decompressed(source, caps)) plain.update(chunk);
  const found: Digest = `sha256:${plain.digest("hex")}`;
  if (diffId.startsWith("sha256:") && found !== diffId) throw wrongDigest(name, found);
  return { mediaType, digest: `sha256:${packed.digest("hex")}`, size };
}

async function mediaTypeOf(files: ArchiveFiles, name: string): Promise<string> {
  for await (const chunk of files.open(name)) {
    if (chunk[0] === 0x1f && chunk[1] === 0x8b) return MediaType.ociLayerGzip;
    const isZstd = chunk.length >= 4 && chunk.readUInt32LE(0) === 0xfd2fb528;
    return isZstd ? MediaType.ociLayerZstd : MediaType.ociLayer;
  }
  return MediaType.ociLayer;
}

/** `<hex>.json`, and `blobs/sha256/<hex>` of newer versions, promise a content. */
function digestInName(name: string): Digest | undefined {
  const [, hex] = /^(?:blobs\/sha256\/)?([0-9a-f]{64})(?:\.json)?$/.exec(name) ?? [];
  return hex === undefined ? undefined : `sha256:${hex}`;
}

function wrongDigest(name: string, found: Digest): MsbError {
  return new MsbError(
    "MSB_ERR_DIGEST_MISMATCH",
    `The image archive's file ${shown(name)} is not what the archive says: its content has digest ${hexOf(found)}. ` +
      "The archive is damaged or was tampered with; get it again.",
    { details: { found } },
  );
}
