/** What a user's words for an image of the store mean. */
import { isMsbError } from "../../errors.js";
import { type Digest, hexOf, isDigest } from "../digest.js";
import { canonicalName, parseReference } from "../reference.js";
import { ambiguousDigest } from "./image-errors.js";
import type { ImageReader } from "./image-reader.js";
import type { ImageTag } from "./tag-store.js";

const MIN_PREFIX_LENGTH = 4;

export interface ResolvedImage {
  readonly digest: Digest;
  /** The canonical name that was meant; null when it was a digest. */
  readonly name: string | null;
}

/**
 * A name before a digest, and that before the first digits of one. Throws MSB_ERR_INVALID_REFERENCE for what is
 * none of them, and for digits that more than one image begins with.
 */
export async function resolveImage(
  text: string,
  tags: readonly ImageTag[],
  reader: ImageReader,
): Promise<ResolvedImage | undefined> {
  if (isDigest(text)) {
    return (await reader.manifest(text)) && { digest: text, name: null };
  }
  const [, prefix] = /^(?:sha256:|sha512:)?([0-9a-f]+)$/.exec(text) ?? [];
  const canBePrefix = prefix !== undefined && prefix.length >= MIN_PREFIX_LENGTH;
  const name = canonicalOf(text, canBePrefix);
  const tag = tags.find((candidate) => candidate.name === name);
  if (tag !== undefined) return { digest: tag.manifest.digest, name: tag.name };
  return canBePrefix ? byPrefix(text, prefix, reader) : undefined;
}

function canonicalOf(text: string, canBePrefix: boolean): string | undefined {
  try {
    return canonicalName(parseReference(text));
  } catch (error) {
    if (canBePrefix && isMsbError(error, "MSB_ERR_INVALID_REFERENCE")) return undefined;
    throw error;
  }
}

async function byPrefix(
  text: string,
  prefix: string,
  reader: ImageReader,
): Promise<ResolvedImage | undefined> {
  const matches: Digest[] = [];
  for (const digest of await reader.digests()) {
    const isMatch = text.includes(":") ? digest.startsWith(text) : hexOf(digest).startsWith(prefix);
    if (isMatch && (await reader.manifest(digest)) !== undefined) matches.push(digest);
  }
  const [match, ...others] = matches;
  if (others.length > 0) throw ambiguousDigest(text, matches);
  return match && { digest: match, name: null };
}
