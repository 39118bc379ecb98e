/**
 * The documents of an image: index, manifest, config. Shapes from the OCI image spec v1.1 (image-index.md,
 * manifest.md, config.md) and Docker's image manifest v2, schema 2. Everything here comes from strangers: it is
 * checked against a schema before it is believed, and fields that are not known are dropped.
 */
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { MsbError } from "../errors.js";
import { printable } from "../util/printable.js";
import type { Digest } from "./digest.js";

/** No honest index, manifest or config comes near. */
export const MAX_DOCUMENT_BYTES = 4 * 1024 ** 2;
export const MAX_LAYERS = 512;
const MAX_TEXT = 64 * 1024;

export const MediaType = {
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  ociLayerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  ociLayerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayerGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar",
  dockerLayerZstd: "application/vnd.docker.image.rootfs.diff.tar.zstd",
} as const;

export const INDEX_TYPES: readonly string[] = [MediaType.ociIndex, MediaType.dockerIndex];
export const MANIFEST_TYPES: readonly string[] = [MediaType.ociManifest, MediaType.dockerManifest];

export type Compression = "none" | "gzip" | "zstd";

const COMPRESSIONS: ReadonlyMap<string, Compression> = new Map([
  [MediaType.ociLayer, "none"],
  [MediaType.ociLayerGzip, "gzip"],
  [MediaType.ociLayerZstd, "zstd"],
  [MediaType.dockerLayer, "none"],
  [MediaType.dockerLayerGzip, "gzip"],
  [MediaType.dockerLayerZstd, "zstd"],
  // Layers that may not be passed on (OCI image spec, layer.md); some base images still have them.
  ["application/vnd.oci.image.layer.nondistributable.v1.tar", "none"],
  ["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "gzip"],
  ["application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", "zstd"],
  ["application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "gzip"],
]);

const Text = Type.String({ maxLength: MAX_TEXT });
const Texts = Type.Array(Text, { maxItems: 10_000 });
const TextMap = Type.Record(Type.String(), Text);
/** Go writes absent lists and maps as null. */
const orNull = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));
const DigestText = Type.Unsafe<Digest>(
  Type.String({ pattern: "^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$" }),
);

const PlatformSchema = Type.Object({
  os: Text,
  architecture: Text,
  variant: Type.Optional(Text),
  "os.version": Type.Optional(Text),
});

const DescriptorSchema = Type.Object({
  mediaType: Text,
  digest: DigestText,
  size: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  annotations: orNull(TextMap),
  platform: orNull(PlatformSchema),
  artifactType: Type.Optional(Text),
});

const IndexSchema = Type.Object({
  schemaVersion: Type.Literal(2),
  mediaType: Type.Optional(Text),
  manifests: Type.Array(DescriptorSchema, { maxItems: 10_000 }),
  annotations: orNull(TextMap),
});

const ManifestSchema = Type.Object({
  schemaVersion: Type.Literal(2),
  mediaType: Type.Optional(Text),
  config: DescriptorSchema,
  layers: Type.Array(DescriptorSchema, { maxItems: MAX_LAYERS }),
  annotations: orNull(TextMap),
});

const ImageConfigSchema = Type.Object({
  architecture: Text,
  os: Text,
  variant: Type.Optional(Text),
  created: orNull(Text),
  author: Type.Optional(Text),
  config: orNull(
    Type.Object({
      User: orNull(Text),
      Env: orNull(Texts),
      Entrypoint: orNull(Texts),
      Cmd: orNull(Texts),
      WorkingDir: orNull(Text),
      ExposedPorts: orNull(Type.Record(Type.String(), Type.Unknown())),
      Volumes: orNull(Type.Record(Type.String(), Type.Unknown())),
      Labels: orNull(TextMap),
      StopSignal: orNull(Text),
    }),
  ),
  rootfs: Type.Object({
    type: Type.Literal("layers"),
    diff_ids: Type.Array(DigestText, { maxItems: MAX_LAYERS }),
  }),
  history: orNull(
    Type.Array(
      Type.Object({
        created: orNull(Text),
        created_by: Type.Optional(Text),
        comment: Type.Optional(Text),
        author: Type.Optional(Text),
        empty_layer: Type.Optional(Type.Boolean()),
      }),
      { maxItems: 10_000 },
    ),
  ),
});

export type Platform = Static<typeof PlatformSchema>;
export type Descriptor = Static<typeof DescriptorSchema>;
export type Index = Static<typeof IndexSchema>;
export type Manifest = Static<typeof ManifestSchema>;
export type ImageConfig = Static<typeof ImageConfigSchema>;

export type ManifestDocument =
  | { readonly kind: "index"; readonly mediaType: string; readonly index: Index }
  | { readonly kind: "manifest"; readonly mediaType: string; readonly manifest: Manifest };

/**
 * An index or a manifest. `mediaType` is what the sender called it; without one the document says it itself
 * or is told by its fields. Throws MSB_ERR_IMAGE_INVALID.
 */
export function parseManifestDocument(bytes: Uint8Array, mediaType?: string): ManifestDocument {
  const json = parseJson(bytes, "manifest");
  const own =
    isRecord(json) && typeof json["mediaType"] === "string" ? json["mediaType"] : undefined;
  // A document that can be read as two things is how one digest is made to name two images.
  if (isRecord(json) && "manifests" in json && ("layers" in json || "config" in json)) {
    throw invalid("manifest", "it is an index and a manifest at once");
  }
  const type = own ?? mediaType;
  const isIndex = isRecord(json) && "manifests" in json;
  if (isIndex ? MANIFEST_TYPES.includes(type ?? "") : INDEX_TYPES.includes(type ?? "")) {
    throw invalid("manifest", `it calls itself ${printable(type ?? "")} and is not one`);
  }
  if (isIndex) {
    const index = checked(IndexSchema, json, "index");
    return { kind: "index", mediaType: type ?? MediaType.ociIndex, index };
  }
  if (isRecord(json) && json["schemaVersion"] === 1) {
    throw invalid(
      "manifest",
      "it has Docker's schema 1, which no registry should send since 2019; push the image again with a newer tool",
    );
  }
  const manifest = checked(ManifestSchema, json, "manifest");
  return { kind: "manifest", mediaType: type ?? MediaType.ociManifest, manifest };
}

/** Throws MSB_ERR_IMAGE_INVALID. */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  return checked(ImageConfigSchema, parseJson(bytes, "image config"), "image config");
}

/** Throws MSB_ERR_IMAGE_INVALID for what is not a layer of a file system. */
export function compressionOf(mediaType: string): Compression {
  const compression = COMPRESSIONS.get(mediaType);
  if (compression !== undefined) return compression;
  throw invalid(
    "manifest",
    `its layer type ${printable(mediaType)} is not a file system layer (tar, gzip or zstd): this is an ` +
      "artifact, not an image that can be started",
  );
}

/** Each layer with the diff id that the config gives it, lowest first. Throws MSB_ERR_IMAGE_INVALID. */
export function layersOf(
  manifest: Manifest,
  config: ImageConfig,
): { descriptor: Descriptor; diffId: Digest }[] {
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== manifest.layers.length) {
    throw invalid(
      "image config",
      `it names ${diffIds.length} layers and the manifest ${manifest.layers.length}`,
    );
  }
  return manifest.layers.map((descriptor, index) => ({ descriptor, diffId: diffIds[index]! }));
}

function parseJson(bytes: Uint8Array, what: string): unknown {
  if (bytes.length > MAX_DOCUMENT_BYTES) {
    throw invalid(what, `it has ${bytes.length} bytes, the limit is ${MAX_DOCUMENT_BYTES}`);
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw invalid(what, "it is not JSON in UTF-8", error);
  }
}

function checked<T extends TSchema>(schema: T, json: unknown, what: string): Static<T> {
  const wrong = Value.Errors(schema, json).First();
  if (wrong !== undefined) {
    const where = printable(wrong.path.slice(0, 200)) || "/";
    throw invalid(what, `at ${where}: ${printable(wrong.message.slice(0, 200))}`);
  }
  return Value.Clean(schema, json) as Static<T>;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** An MSB_ERR_IMAGE_INVALID about one document of an image. */
function invalid(what: string, why: string, cause?: unknown): MsbError {
  return new MsbError(
    "MSB_ERR_IMAGE_INVALID",
    `The ${what} cannot be used: ${why}. Ask whoever made the image, or try another tag.`,
    { cause },
  );
}
