/** Image archives in memory, good ones and others. */
import { gzipSync } from "node:zlib";
import { type Digest, digestOf, hexOf } from "../../src/oci/digest.js";
import { MediaType } from "../../src/oci/manifest.js";
import { type EntrySpec, tar } from "./tar-builder.js";

export interface Blob {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly bytes: Buffer;
}

export function blobOf(content: Buffer | object, mediaType: string): Blob {
  const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
  return { mediaType, digest: digestOf(bytes), size: bytes.length, bytes };
}

/** As it stands in another document. */
export const ref = ({ mediaType, digest, size }: Blob): object => ({ mediaType, digest, size });

export const layerTar = (name = "hello"): Buffer => tar([{ path: name, data: `I am ${name}` }]);

export interface TestImage {
  readonly manifest: Blob;
  readonly config: Blob;
  readonly layers: readonly Blob[];
  readonly blobs: readonly Blob[];
}

/** An image of plain and, at odd places, packed layers. */
export function testImage(
  layers: readonly Buffer[] = [layerTar("a"), layerTar("b")],
  architecture = "amd64",
): TestImage {
  const packed = layers.map((layer, index) =>
    index % 2 === 0
      ? blobOf(layer, MediaType.ociLayer)
      : blobOf(gzipSync(layer), MediaType.ociLayerGzip),
  );
  const config = blobOf(
    {
      architecture,
      os: "linux",
      config: { Cmd: ["sh"] },
      rootfs: { type: "layers", diff_ids: layers.map(digestOf) },
    },
    MediaType.ociConfig,
  );
  const manifest = blobOf(
    {
      schemaVersion: 2,
      mediaType: MediaType.ociManifest,
      config: ref(config),
      layers: packed.map(ref),
    },
    MediaType.ociManifest,
  );
  return { manifest, config, layers: packed, blobs: [...packed, config, manifest] };
}

export const blobPath = ({ digest }: Blob): string => `blobs/sha256/${hexOf(digest)}`;

export const blobEntries = (blobs: readonly Blob[]): EntrySpec[] =>
  blobs.map((blob) => ({ path: blobPath(blob), data: blob.bytes }));

export const indexEntry = (manifests: readonly object[]): EntrySpec => ({
  path: "index.json",
  data: JSON.stringify({ schemaVersion: 2, manifests }),
});

export const LAYOUT: EntrySpec = { path: "oci-layout", data: '{"imageLayoutVersion":"1.0.0"}' };

/** The entries of an OCI layout with one image, named if there is a name. */
export function layoutEntries(image: TestImage, name?: string): EntrySpec[] {
  const annotations =
    name === undefined ? undefined : { "org.opencontainers.image.ref.name": name };
  return [
    LAYOUT,
    ...blobEntries(image.blobs),
    indexEntry([{ ...ref(image.manifest), ...(annotations && { annotations }) }]),
  ];
}

/** The entries of `docker save` with one image of these plain or packed layers. */
export function dockerEntries(
  layers: readonly Buffer[],
  opts: { tags?: readonly string[] | null; diffIds?: readonly Digest[] } = {},
): EntrySpec[] {
  const config = blobOf(
    {
      architecture: "amd64",
      os: "linux",
      rootfs: { type: "layers", diff_ids: opts.diffIds ?? layers.map(digestOf) },
    },
    MediaType.dockerConfig,
  );
  const names = layers.map((_, index) => `layer-${index}/layer.tar`);
  const table = [
    { Config: `${hexOf(config.digest)}.json`, RepoTags: opts.tags ?? null, Layers: names },
  ];
  return [
    ...layers.map((data, index) => ({ path: names[index]!, data })),
    { path: `${hexOf(config.digest)}.json`, data: config.bytes },
    { path: "manifest.json", data: JSON.stringify(table) },
  ];
}
