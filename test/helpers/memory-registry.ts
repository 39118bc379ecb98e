/** Images made of a few files, and a registry that has them in memory. No vitest in here: child programs use it. */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { MsbError } from "../../src/errors.js";
import type { Digest } from "../../src/oci/digest.js";
import { type Descriptor, MediaType, parseManifestDocument } from "../../src/oci/manifest.js";
import type { ImageSource } from "../../src/oci/pull.js";
import { canonicalName } from "../../src/oci/reference.js";
import type { ImageStore } from "../../src/oci/store/image-store.js";
import { tar } from "./tar-builder.js";

export const sha256 = (bytes: Uint8Array): Digest =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

export const HOST_ARCHITECTURE = process.arch === "arm64" ? "arm64" : "amd64";

export interface MadeImage {
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly Digest[];
  readonly blobs: ReadonlyMap<Digest, Buffer>;
}

export interface ImageSpec {
  /** One gzip layer each, with this content in the file `/layer-N`. */
  readonly layers?: readonly (string | Buffer)[];
  readonly architecture?: string;
  /** The `config` of the config. */
  readonly config?: object;
  /** Besides, or in place of, what the documents have. */
  readonly configPatch?: object;
  readonly manifestPatch?: object;
}

export function makeImage(spec: ImageSpec = {}): MadeImage {
  const blobs = new Map<Digest, Buffer>();
  const put = (bytes: Buffer, mediaType: string): Descriptor => {
    const digest = sha256(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const tars = (spec.layers ?? ["hello"]).map((data, index) =>
    tar([{ path: `layer-${index}`, data }]),
  );
  const diffIds = tars.map(sha256);
  const layers = tars.map((bytes) => put(gzipSync(bytes, { level: 1 }), MediaType.ociLayerGzip));
  const configJson = {
    architecture: spec.architecture ?? HOST_ARCHITECTURE,
    os: "linux",
    config: spec.config ?? {},
    rootfs: { type: "layers", diff_ids: diffIds },
    ...spec.configPatch,
  };
  const config = put(Buffer.from(JSON.stringify(configJson)), MediaType.ociConfig);
  const manifestJson = {
    schemaVersion: 2,
    mediaType: MediaType.ociManifest,
    config,
    layers,
    ...spec.manifestPatch,
  };
  const manifest = put(Buffer.from(JSON.stringify(manifestJson)), MediaType.ociManifest);
  return { manifest, config, layers, diffIds, blobs };
}

/** Puts the image into the store, as a load would. */
export async function storeImage(store: ImageStore, image: MadeImage): Promise<void> {
  for (const { digest, mediaType } of [image.config, ...image.layers, image.manifest]) {
    await store.blobs.putBytes(image.blobs.get(digest)!, mediaType);
  }
}

/** Has images by canonical name, and notes what it is asked for. */
export class MemoryRegistry implements ImageSource, AsyncDisposable {
  readonly blobs = new Map<Digest, Buffer>();
  readonly names = new Map<string, Digest>();
  /** `manifest NAME` and `blob DIGEST@OFFSET`, in order. */
  readonly requests: string[] = [];
  /** In place of the blob's own bytes. */
  readonly lies = new Map<Digest, { bytes: Buffer; mirrorOnly: boolean }>();
  /** Called before a blob is sent. */
  onBlob: (digest: Digest) => Promise<void> = async () => {};
  /** Called after each part of a blob was taken. */
  onChunk: () => Promise<void> = async () => {};

  push(name: string, ...images: readonly MadeImage[]): Descriptor {
    for (const { blobs } of images)
      for (const [digest, bytes] of blobs) this.blobs.set(digest, bytes);
    const [only] = images;
    const descriptor = images.length === 1 ? only!.manifest : this.#pushIndex(images);
    this.names.set(name, descriptor.digest);
    return descriptor;
  }

  #pushIndex(images: readonly MadeImage[]): Descriptor {
    const manifests = images.map(({ manifest, config, blobs }) => {
      const { os, architecture } = JSON.parse(blobs.get(config.digest)!.toString());
      return { ...manifest, platform: { os, architecture } };
    });
    return this.pushDocument({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests });
  }

  pushDocument(json: { mediaType: string } & Record<string, unknown>): Descriptor {
    const bytes = Buffer.from(JSON.stringify(json));
    const digest = sha256(bytes);
    this.blobs.set(digest, bytes);
    return { mediaType: json.mediaType, digest, size: bytes.length };
  }

  getManifest: ImageSource["getManifest"] = async (ref, opts = {}) => {
    const name = canonicalName(ref);
    const digest = opts.digest ?? ref.digest ?? this.names.get(name);
    this.requests.push(`manifest ${opts.digest ?? name}`);
    const bytes = digest && this.blobs.get(digest);
    if (digest === undefined || bytes === undefined) {
      throw new MsbError("MSB_ERR_IMAGE_NOT_FOUND", `no ${name}`);
    }
    const document = parseManifestDocument(bytes);
    const descriptor = { mediaType: document.mediaType, digest, size: bytes.length };
    return { descriptor, bytes, document };
  };

  openBlob: ImageSource["openBlob"] = async (_, { digest }, opts = {}) => {
    const { offset = 0, mirrors = "use" } = opts;
    this.requests.push(`blob ${digest}@${offset}`);
    await this.onBlob(digest);
    const lie = this.lies.get(digest);
    const isTold = lie !== undefined && (mirrors === "use" || !lie.mirrorOnly);
    const bytes = isTold ? lie.bytes : this.blobs.get(digest);
    if (bytes === undefined) throw new MsbError("MSB_ERR_IMAGE_NOT_FOUND", `no ${digest}`);
    const { onChunk } = this;
    const body = async function* (): AsyncGenerator<Buffer> {
      for (let at = offset; at < bytes.length; at += 16_384) {
        yield Buffer.from(bytes.subarray(at, at + 16_384));
        await onChunk();
      }
    };
    return { offset, body: body() };
  };

  async [Symbol.asyncDispose](): Promise<void> {}
}
