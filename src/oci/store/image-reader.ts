/** Finds images among the blobs. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { isMsbError } from "../../errors.js";
import type { MsbPaths } from "../../paths.js";
import { errnoOf, fileError } from "../../util/file-error.js";
import { KeptReads } from "../../util/kept-reads.js";
import { type Digest, type ExpectedContent, isDigest } from "../digest.js";
import {
  type ImageConfig,
  type Manifest,
  MAX_DOCUMENT_BYTES,
  parseImageConfig,
  parseManifestDocument,
} from "../manifest.js";
import type { BlobStore } from "./blob-store.js";
import { contentOf, type ImageDocuments } from "./image-info.js";
import { namesIn } from "./store-files.js";

/** Each can take some megabytes. */
const MAX_KEPT = 32;

type FoundManifest = Omit<ImageDocuments, "config">;

interface FoundConfig {
  readonly size: number;
  readonly config: ImageConfig;
}

export class ImageReader {
  /** Verified, and not manifests: what a digest names never changes. */
  readonly #others = new Set<Digest>();
  readonly #manifests = new KeptReads<FoundManifest>(MAX_KEPT);
  readonly #configs = new KeptReads<FoundConfig>(MAX_KEPT);

  constructor(
    private readonly paths: MsbPaths,
    private readonly blobs: BlobStore,
  ) {}

  /** Every blob, as its name says; unverified. */
  async digests(): Promise<Digest[]> {
    const found: Digest[] = [];
    for (const algorithm of ["sha256", "sha512"]) {
      for (const name of await namesIn(this.paths.imageBlobFolder(algorithm))) {
        const digest = `${algorithm}:${name}`;
        if (isDigest(digest)) found.push(digest);
      }
    }
    return found;
  }

  /** The manifest with this digest; undefined when it is not there, spoilt, or something else. */
  async manifest(digest: Digest): Promise<FoundManifest | undefined> {
    if (this.#others.has(digest)) return undefined;
    return this.#manifests.get(this.blobs.pathOf(digest), () => this.#readManifest(digest));
  }

  /** The image whose manifest this is; undefined when it, or its config, is not there or no good. */
  async documents(digest: Digest): Promise<ImageDocuments | undefined> {
    const found = await this.manifest(digest);
    if (found === undefined || found.manifest.config.size > MAX_DOCUMENT_BYTES) return undefined;
    const { config: wanted } = found.manifest;
    const path = this.blobs.pathOf(wanted.digest);
    const read = await this.#configs.get(path, () => this.#readConfig(wanted));
    // Another manifest may say another size of the same blob.
    return read?.size === wanted.size ? { ...found, config: read.config } : undefined;
  }

  async #readManifest(digest: Digest): Promise<FoundManifest | undefined> {
    const size = await this.blobs.sizeOf(digest);
    if (size === undefined) return undefined;
    if (size > MAX_DOCUMENT_BYTES || !(await this.#looksLikeJson(digest))) return undefined;
    const bytes = await ignoring("MSB_ERR_DIGEST_MISMATCH", this.blobs.read({ digest, size }));
    if (bytes === undefined) return undefined;
    try {
      const document = parseManifestDocument(bytes);
      if (document.kind === "manifest") {
        const descriptor = { mediaType: document.mediaType, digest, size };
        return { descriptor, manifest: document.manifest };
      }
    } catch (error) {
      if (!isMsbError(error, "MSB_ERR_IMAGE_INVALID")) throw error;
    }
    this.#others.add(digest);
    return undefined;
  }

  async #readConfig(wanted: ExpectedContent): Promise<FoundConfig | undefined> {
    const bytes = await ignoring("MSB_ERR_DIGEST_MISMATCH", this.blobs.read(wanted));
    if (bytes === undefined) return undefined;
    const parsing = Promise.resolve(bytes).then(parseImageConfig);
    const config = await ignoring("MSB_ERR_IMAGE_INVALID", parsing);
    return config && { size: wanted.size, config };
  }

  /** What of the image is not there; its content is verified when it is used. */
  async missing(image: {
    descriptor: ImageDocuments["descriptor"];
    manifest: Manifest;
  }): Promise<Digest[]> {
    const missing: Digest[] = [];
    for (const content of contentOf(image)) {
      if (!(await this.blobs.has(content))) missing.push(content.digest);
    }
    return missing;
  }

  /** Spares reading layers: manifests begin with a brace. */
  async #looksLikeJson(digest: Digest): Promise<boolean> {
    const path = this.blobs.pathOf(digest);
    try {
      const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
      try {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(64), 0, 64, 0);
        return buffer.toString("latin1", 0, bytesRead).trimStart().startsWith("{");
      } finally {
        await file.close();
      }
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return false;
      throw fileError(error, path, "read");
    }
  }
}

async function ignoring<T>(
  code: "MSB_ERR_DIGEST_MISMATCH" | "MSB_ERR_IMAGE_INVALID",
  work: Promise<T>,
): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isMsbError(error, code)) return undefined;
    throw error;
  }
}
