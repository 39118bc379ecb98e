/** Small images as OCI layout folders (image-spec, image-layout.md), made by hand: what is in them is known to the byte. */
import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Digest } from "../../src/oci/digest.js";
import { type Descriptor, MediaType } from "../../src/oci/manifest.js";

export interface LayoutImage {
  readonly architecture: string;
  /** Uncompressed tar archives, lowest first. */
  readonly layers: readonly Buffer[];
  /** Of the image's config: `Env`, `Cmd`, `WorkingDir`. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export interface OciLayout {
  readonly dir: string;
  /** What the tag stands for: the manifest of a single image, the index of several. */
  readonly root: Descriptor;
  /** One an image. */
  readonly manifests: readonly {
    descriptor: Descriptor;
    config: Descriptor;
    layers: Descriptor[];
    diffIds: Digest[];
  }[];
  blob(digest: Digest): Buffer;
}

export const sha256 = (bytes: Buffer): Digest =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** Writes `images` under the name `tag` into the new folder `dir`. */
export async function writeOciLayout(
  dir: string,
  tag: string,
  images: readonly LayoutImage[],
): Promise<OciLayout> {
  const blobs = new Map<Digest, Buffer>();
  const add = (mediaType: string, content: Buffer | object): Descriptor => {
    const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
    const digest = sha256(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const manifests = images.map((image) => addImage(image, add));
  const [first, second] = manifests;
  const root =
    second === undefined
      ? first!.descriptor
      : add(MediaType.ociIndex, {
          schemaVersion: 2,
          mediaType: MediaType.ociIndex,
          manifests: manifests.map(({ descriptor }) => descriptor),
        });
  await mkdir(join(dir, "blobs/sha256"), { recursive: true });
  for (const [digest, bytes] of blobs) {
    await writeFile(join(dir, "blobs", digest.replace(":", "/")), bytes);
  }
  await writeFile(join(dir, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const annotations = { "org.opencontainers.image.ref.name": tag };
  const index = { schemaVersion: 2, manifests: [{ ...root, annotations }] };
  await writeFile(join(dir, "index.json"), JSON.stringify(index));
  return { dir, root, manifests, blob: (digest) => blobs.get(digest)! };
}

function addImage(
  { architecture, layers, config: runConfig }: LayoutImage,
  add: (mediaType: string, content: Buffer | object) => Descriptor,
): OciLayout["manifests"][number] {
  const packed = layers.map((tar) => add(MediaType.ociLayerGzip, gzipSync(tar)));
  const diffIds = layers.map(sha256);
  const config = add(MediaType.ociConfig, {
    architecture,
    os: "linux",
    ...(runConfig === undefined ? {} : { config: runConfig }),
    rootfs: { type: "layers", diff_ids: diffIds },
  });
  const manifest = add(MediaType.ociManifest, {
    schemaVersion: 2,
    mediaType: MediaType.ociManifest,
    config,
    layers: packed,
  });
  const descriptor = { ...manifest, platform: { os: "linux", architecture } };
  return { descriptor, config, layers: packed, diffIds };
}
