/** Which image of the store, and which of a registry, a user means by a name. */
import { imageAlias } from "../config.js";
import { MsbError } from "../errors.js";
import type { Settings } from "../settings.js";
import { isDigest } from "./digest.js";
import { canonicalName, familiarName, type ImageReference, parseReference } from "./reference.js";

/** Names of images that are built here; nobody's registry is asked for them. */
const RECIPE_PREFIX = "docker.io/msb-ts/";

export interface WantedImage {
  /** What to look for in the store, in this order: canonical names, or a digest. */
  readonly local: readonly string[];
  /** Those of them that no registry has. */
  readonly builtHere: readonly string[];
  /** What to pull; null for a digest, which does not say from where. */
  readonly remote: ImageReference | null;
}

/** Throws MSB_ERR_INVALID_REFERENCE. */
export function wantedImage(name: string, settings: Settings): WantedImage {
  // A tag of digits, as in sha256:1234, would be one of an image called sha256; nobody means that.
  if (/^sha(256|512):[0-9a-f]+$/.test(name) || isDigest(`sha256:${name}`)) {
    return { local: [name], builtHere: [], remote: null };
  }
  const alias = imageAlias(name, settings.imageAliases);
  const remote = readReference(alias?.remote ?? name, settings);
  const recipe = alias?.recipe ?? null;
  const builtHere = recipe === null ? [] : [canonicalName(parseReference(recipe))];
  return { local: [...builtHere, canonicalName(remote)], builtHere, remote };
}

/** Could be the first digits of a digest. Names can look the same and come first. */
export function isDigits(text: string): boolean {
  return /^(sha256:|sha512:)?[0-9a-f]+$/.test(text);
}

/** Throws MSB_ERR_INVALID_REFERENCE. */
export function readReference(name: string, settings: Settings): ImageReference {
  const { defaultRegistry } = settings;
  return parseReference(name, defaultRegistry === undefined ? {} : { defaultRegistry });
}

/** Throws MSB_ERR_IMAGE_NOT_FOUND for an image that is only ever built. */
export function checkPullable(ref: ImageReference): void {
  const name = canonicalName(ref);
  if (!name.startsWith(RECIPE_PREFIX)) return;
  throw new MsbError(
    "MSB_ERR_IMAGE_NOT_FOUND",
    `${familiarName(ref)} is an image that is built here, not pulled: nobody answers for one of that name in a ` +
      `registry. Run \`msb-ts image build ${recipeOf(name)}\`.`,
    { details: { image: name } },
  );
}

/** By the canonical name of what it makes. */
export function recipeOf(name: string): string {
  return parseReference(name).repository.replace(/^.*\//, "");
}
