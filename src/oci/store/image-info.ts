/** What the documents of an image say, as users see it. */
import { posix } from "node:path";
import type { ImageInfo, RunConfig } from "../image.js";
import {
  type Descriptor,
  type ImageConfig,
  layersOf,
  type Manifest,
  type Platform,
} from "../manifest.js";

/** An image as it is stored: its documents, verified. */
export interface ImageDocuments {
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
}

/** All but what depends on names and disks. Throws MSB_ERR_IMAGE_INVALID. */
export function imageFacts(
  documents: ImageDocuments,
): Omit<ImageInfo, "names" | "taggedAt" | "disk"> {
  const { descriptor, manifest, config } = documents;
  return {
    digest: descriptor.digest,
    platform: platformOf(config),
    layers: layersOf(manifest, config),
    storedBytes: contentOf(documents).reduce((sum, { size }) => sum + size, 0),
    createdAt: isoTime(config.created),
    config: runConfigOf(config),
  };
}

/** Manifest, config and layers, each once. */
export function contentOf({ descriptor, manifest }: Omit<ImageDocuments, "config">): Descriptor[] {
  const all = [descriptor, manifest.config, ...manifest.layers];
  return [...new Map(all.map((content) => [content.digest, content])).values()];
}

export function platformOf({ os, architecture, variant }: ImageConfig): Platform {
  return { os, architecture, ...(variant === undefined || variant === "" ? {} : { variant }) };
}

/** OCI image spec, config.md, with Docker's meaning of what is absent. */
export function runConfigOf(image: ImageConfig): RunConfig {
  const config = image.config ?? {};
  return {
    user: config.User ?? "",
    env: config.Env ?? [],
    entrypoint: config.Entrypoint ?? [],
    cmd: config.Cmd ?? [],
    // Relative ones are meant from the root.
    workingDir: posix.resolve("/", config.WorkingDir ?? ""),
    labels: config.Labels ?? {},
    exposedPorts: Object.keys(config.ExposedPorts ?? {}).toSorted(),
    stopSignal: config.StopSignal || null,
  };
}

/** Null for what is no time: makers may write anything there. */
function isoTime(text: string | null | undefined): string | null {
  const time = new Date(text ?? Number.NaN);
  return Number.isNaN(time.getTime()) ? null : time.toISOString();
}
