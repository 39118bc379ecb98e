/** Which of an index's images runs here: platforms as OCI's image-index.md and Go's GOOS/GOARCH name them. */
import { MsbError } from "../errors.js";
import { printable } from "../util/printable.js";
import {
  type Descriptor,
  type Index,
  INDEX_TYPES,
  MANIFEST_TYPES,
  type Platform,
} from "./manifest.js";

/** How other tools call what Go calls by its own name. */
const ARCHITECTURE_ALIASES: ReadonlyMap<string, string> = new Map([
  ["x86_64", "amd64"],
  ["x86-64", "amd64"],
  ["aarch64", "arm64"],
]);

/** What an absent variant means: x86-64-v1, ARMv8, ARMv7. */
const BASE_LEVEL: ReadonlyMap<string, number> = new Map([
  ["amd64", 1],
  ["arm64", 8],
  ["arm", 7],
]);

const ATTESTATION_KEY = "vnd.docker.reference.type";
const MAX_LISTED = 20;

/** What a guest on this machine runs: always Linux, whatever the host's system. Throws MSB_ERR_PLATFORM_UNSUPPORTED. */
export function hostPlatform(arch: string = process.arch): Platform {
  if (arch === "x64") return { os: "linux", architecture: "amd64" };
  if (arch === "arm64") return { os: "linux", architecture: "arm64", variant: "v8" };
  throw new MsbError(
    "MSB_ERR_PLATFORM_UNSUPPORTED",
    `There are no images for this CPU (${arch}): sandboxes run on x86-64 and arm64.`,
    { details: { arch } },
  );
}

/** Reads `linux/arm64/v8`, `linux/amd64`, or just `arm64`. Throws MSB_ERR_INVALID_ARGUMENT. */
export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split("/");
  const [os, architecture, variant] = parts.length === 1 ? ["linux", ...parts] : parts;
  const isSyntax =
    parts.length <= 3 && parts.every((part) => /^[a-z0-9][a-z0-9_.-]{0,31}$/.test(part));
  if (!isSyntax || os !== "linux" || architecture === undefined || architecture === "linux") {
    const shown = printable(text.slice(0, 100));
    throw new MsbError(
      "MSB_ERR_INVALID_ARGUMENT",
      `platform cannot be "${shown}": write linux/amd64, linux/arm64 or linux/arm64/v8; guests run Linux.`,
      { details: { option: "platform", value: shown } },
    );
  }
  return {
    os,
    architecture: ARCHITECTURE_ALIASES.get(architecture) ?? architecture,
    ...(variant === undefined ? {} : { variant }),
  };
}

export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant ? [variant] : [])].join("/");
}

/** Can a machine of platform `wanted` run an image of platform `found`? */
export function isPlatformMatch(found: Platform, wanted: Platform): boolean {
  return fitness(found, wanted) !== undefined;
}

/**
 * The entry of `index` for `wanted`: of those that run there the one with the highest variant, the first of
 * equals. An index with a single entry that names no platform is taken at that. The answer may be an index
 * itself. Throws MSB_ERR_IMAGE_PLATFORM with what there is.
 */
export function choosePlatform(index: Index, wanted: Platform): Descriptor {
  const images = index.manifests.filter(isImage);
  let best: { descriptor: Descriptor; fitness: number } | undefined;
  for (const descriptor of images) {
    if (!descriptor.platform) continue;
    const fits = fitness(descriptor.platform, wanted);
    if (fits !== undefined && (best === undefined || fits > best.fitness)) {
      best = { descriptor, fitness: fits };
    }
  }
  if (best !== undefined) return best.descriptor;
  const [only, ...others] = images;
  if (only !== undefined && others.length === 0 && !only.platform) return only;
  throw noneFits(images, wanted);
}

/** Attestations (provenance, SBOM) and other artifacts are listed beside the images and are none. */
function isImage({ mediaType, platform, annotations }: Descriptor): boolean {
  if (!MANIFEST_TYPES.includes(mediaType) && !INDEX_TYPES.includes(mediaType)) return false;
  if (annotations?.[ATTESTATION_KEY] !== undefined) return false;
  return platform?.os !== "unknown" && platform?.architecture !== "unknown";
}

/** How well `found` runs on `wanted`; undefined when it does not. */
function fitness(found: Platform, wanted: Platform): number | undefined {
  if (found.os !== wanted.os || architectureOf(found) !== architectureOf(wanted)) return undefined;
  const have = levelOf(found);
  const can = levelOf(wanted);
  if (have === undefined || can === undefined) {
    return (found.variant ?? "") === (wanted.variant ?? "") ? 0 : undefined;
  }
  return have <= can ? have : undefined;
}

function architectureOf({ architecture }: Platform): string {
  return ARCHITECTURE_ALIASES.get(architecture) ?? architecture;
}

/** Variants of these CPUs are ordered: `v7` runs what was made for `v6`. */
function levelOf(platform: Platform): number | undefined {
  const base = BASE_LEVEL.get(architectureOf(platform));
  if (!platform.variant || base === undefined) return base;
  const [, level] = /^v?(\d{1,2}(?:\.\d{1,2})?)$/.exec(platform.variant) ?? [];
  return level === undefined ? undefined : Number(level);
}

function noneFits(images: readonly Descriptor[], wanted: Platform): MsbError {
  const found = images.flatMap(({ platform }) =>
    platform ? [printable(formatPlatform(platform).slice(0, 60))] : ["one that names no platform"],
  );
  const listed = [...new Set(found)].slice(0, MAX_LISTED);
  return new MsbError(
    "MSB_ERR_IMAGE_PLATFORM",
    `The image has nothing for ${formatPlatform(wanted)}. ` +
      (listed.length === 0 ? "It lists no images at all." : `There is: ${listed.join(", ")}.`) +
      " Choose another image, or one of these with the option platform.",
    { details: { wanted: formatPlatform(wanted), found: listed } },
  );
}
