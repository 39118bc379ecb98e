/** What an image is to its users: the types that the store, the CLI and the server share. */
import type { Digest } from "./digest.js";
import type { Descriptor, Platform } from "./manifest.js";

/** An image in the store. */
export interface ImageInfo {
  /** The digest of its manifest for one platform; identifies the image. */
  readonly digest: Digest;
  /** Canonical names (`docker.io/library/python:3.12`), sorted; empty when all its tags were moved or removed. */
  readonly names: readonly string[];
  readonly platform: Platform;
  /** Lowest first. */
  readonly layers: readonly ImageLayer[];
  /** Bytes of manifest, config and layers as they are stored. */
  readonly storedBytes: number;
  /** The bootable disk; null while it was not made. */
  readonly disk: ImageDiskInfo | null;
  /** ISO 8601; null when the maker did not say. */
  readonly createdAt: string | null;
  /** When a name was last given to it here, ISO 8601; null without a name. */
  readonly taggedAt: string | null;
  readonly config: RunConfig;
}

export interface ImageLayer {
  readonly descriptor: Descriptor;
  /** The digest of the uncompressed layer. */
  readonly diffId: Digest;
}

export interface ImageDiskInfo {
  readonly path: string;
  readonly sizeBytes: number;
}

/** How a container of the image wants to be run (OCI image spec, config.md), with every default filled in. */
export interface RunConfig {
  /** `user[:group]`, by name or number; empty for root. */
  readonly user: string;
  /** `NAME=value`, in the maker's order. */
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** Absolute. */
  readonly workingDir: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Such as `8080/tcp`. */
  readonly exposedPorts: readonly string[];
  readonly stopSignal: string | null;
}

export interface RemovedImages {
  /** Canonical names that are gone. */
  readonly names: readonly string[];
  /** Images nothing names any more, by digest. */
  readonly digests: readonly Digest[];
  readonly freedBytes: number;
}

export interface PrunedImages extends RemovedImages {
  /** What only stays because a running server has warmed it: canonical names, digests of images without one. */
  readonly warmed: readonly string[];
}
