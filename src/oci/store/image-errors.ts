/** What can be wrong with what was asked of the image store. */
import { MsbError } from "../../errors.js";
import { printable } from "../../util/printable.js";
import type { Digest } from "../digest.js";

const shown = (text: string): string => printable(text.slice(0, 300));

export function imageNotFound(text: string): MsbError {
  return new MsbError(
    "MSB_ERR_IMAGE_NOT_FOUND",
    `There is no image "${shown(text)}" here. \`msb-ts image ls\` lists what there is, and ` +
      "`msb-ts image pull` brings more.",
    { details: { image: text } },
  );
}

/** `missing` is what of the image is not in the store. */
export function imageIncomplete(digest: Digest, missing: readonly Digest[]): MsbError {
  const [first] = missing;
  const what = first === digest ? "it is not in the store" : `the store has no ${first}`;
  return new MsbError(
    "MSB_ERR_IMAGE_NOT_FOUND",
    `The image ${digest} is not whole: ${what}. Pull it again.`,
    { details: { digest, missing: missing.slice(0, 10) } },
  );
}

export function imageInUse(digest: Digest): MsbError {
  return new MsbError(
    "MSB_ERR_IMAGE_IN_USE",
    `A sandbox uses the image ${digest}. Remove the sandbox first, or use force: the image then loses its names ` +
      "and goes with a prune after the last sandbox.",
    { details: { digest } },
  );
}

export function imageWarmed(digest: Digest): MsbError {
  return new MsbError(
    "MSB_ERR_IMAGE_IN_USE",
    `A running server has warmed the image ${digest} (msb-ts image warm). Stop the server first, or use force: the ` +
      "image then loses its names, and goes with a prune after the server's end.",
    { details: { digest } },
  );
}

export function imageHasNames(text: string, names: readonly string[]): MsbError {
  return new MsbError(
    "MSB_ERR_IMAGE_IN_USE",
    `The image "${shown(text)}" has ${names.length} names: ${names.slice(0, 5).join(", ")}. Remove it by name, ` +
      "or use force to remove all of them.",
    { details: { names } },
  );
}

export function ambiguousDigest(text: string, matches: readonly Digest[]): MsbError {
  return new MsbError(
    "MSB_ERR_INVALID_REFERENCE",
    `More than one image begins with "${shown(text)}": ${matches.slice(0, 5).join(", ")}. Write more digits.`,
    { details: { matches: matches.slice(0, 5) } },
  );
}

/** Names that only a newer version of this software understands; nothing can be removed then. */
export function newerStore(path: string): MsbError {
  return new MsbError(
    "MSB_ERR_HOME_UNUSABLE",
    `Nothing was removed: a newer version of msb-ts wrote ${path}, so this one cannot know which images are ` +
      "needed. Use the newest version that works with this MSB_HOME.",
    { details: { path } },
  );
}
