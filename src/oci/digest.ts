/** Content digests (OCI image spec, descriptor.md) and streams that are checked against them while they are read. */
import { createHash } from "node:crypto";
import { MsbError } from "../errors.js";
import { printable } from "../util/printable.js";

const HEX_LENGTH = { sha256: 64, sha512: 128 } as const;
type DigestAlgorithm = keyof typeof HEX_LENGTH;

/** `sha256:` or `sha512:` and lower-case hex. Only `parseDigest` and `digestOf` make one. */
export type Digest = `${DigestAlgorithm}:${string}`;

/** What is expected of a stream of bytes. */
export interface ExpectedContent {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

export function isDigest(text: unknown): text is Digest {
  if (typeof text !== "string") return false;
  const [, algorithm, hex] = /^(sha256|sha512):([0-9a-f]+)$/.exec(text) ?? [];
  return hex !== undefined && hex.length === HEX_LENGTH[algorithm as DigestAlgorithm];
}

/** Throws MSB_ERR_IMAGE_INVALID. */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new MsbError(
    "MSB_ERR_IMAGE_INVALID",
    `"${printable(text.slice(0, 160))}" is not a digest: expected sha256: and 64, or sha512: and 128, ` +
      "lower-case hex digits.",
  );
}

export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith("sha512:") ? "sha512" : "sha256";
}

export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(":") + 1);
}

/** For people: the first twelve hex digits. */
export function shortDigest(digest: Digest): string {
  return hexOf(digest).slice(0, 12);
}

export function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/**
 * The chunks of `source`, as they come. Throws MSB_ERR_DIGEST_MISMATCH as soon as there is a byte too many,
 * and at the end when the size or the digest differs; what was handed out before is then not to be trusted.
 */
export async function* verified(
  source: AsyncIterable<Uint8Array>,
  expected: ExpectedContent,
): AsyncGenerator<Buffer, void, undefined> {
  const hash = createHash(algorithmOf(expected.digest));
  let sizeBytes = 0;
  for await (const chunk of source) {
    sizeBytes += chunk.length;
    if (sizeBytes > expected.size) {
      throw mismatch(expected, `it has more than the ${expected.size} bytes announced`);
    }
    hash.update(chunk);
    yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  }
  if (sizeBytes !== expected.size) {
    throw mismatch(expected, `it has ${sizeBytes} bytes, ${expected.size} were announced`);
  }
  const found = hash.digest("hex");
  if (found !== hexOf(expected.digest)) throw mismatch(expected, `its digest is ${found}`);
}

/** Throws MSB_ERR_DIGEST_MISMATCH. */
export function verifyBytes(bytes: Uint8Array, expected: ExpectedContent): void {
  const found = createHash(algorithmOf(expected.digest)).update(bytes).digest("hex");
  if (bytes.length !== expected.size) {
    throw mismatch(expected, `it has ${bytes.length} bytes, ${expected.size} were announced`);
  }
  if (found !== hexOf(expected.digest)) throw mismatch(expected, `its digest is ${found}`);
}

/** For content that is not what was announced; `why` completes "it is something else: …". */
export function mismatch({ digest, size }: ExpectedContent, why: string): MsbError {
  return new MsbError(
    "MSB_ERR_DIGEST_MISMATCH",
    `The content that should be ${digest} is something else: ${why}. It was thrown away. Pull the image again; ` +
      "if this comes back, the registry or what is between it and this machine changes content.",
    { details: { digest, size } },
  );
}
