import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  algorithmOf,
  type Digest,
  digestOf,
  hexOf,
  isDigest,
  parseDigest,
  shortDigest,
  verified,
  verifyBytes,
} from "../../../src/oci/digest.js";
import { chunked } from "../../helpers/tar-builder.js";

const bytes = Buffer.from("some content");
const digest = digestOf(bytes);
const sha512: Digest = `sha512:${createHash("sha512").update(bytes).digest("hex")}`;

test("a digest is an algorithm and its hex digits", () => {
  expect(parseDigest(digest)).toBe(digest);
  expect(algorithmOf(digest)).toBe("sha256");
  expect(algorithmOf(sha512)).toBe("sha512");
  expect(hexOf(digest)).toMatch(/^[0-9a-f]{64}$/);
  expect(shortDigest(digest)).toBe(hexOf(digest).slice(0, 12));
});

test.each([
  "",
  "sha256:",
  `sha256:${"a".repeat(63)}`,
  `sha256:${"A".repeat(64)}`,
  `sha256:${"a".repeat(64)}\n`,
  `sha512:${"a".repeat(64)}`,
  `md5:${"a".repeat(32)}`,
  `sha256:../${"a".repeat(61)}`,
])("%j is none", (text) => {
  expect(isDigest(text)).toBe(false);
  expect(() => parseDigest(text)).toThrow(/is not a digest/);
});

describe("a stream", () => {
  const read = async (expected: { digest: Digest; size: number }, chunkBytes = 5) => {
    const seen: Buffer[] = [];
    for await (const chunk of verified(chunked(bytes, chunkBytes), expected)) seen.push(chunk);
    return Buffer.concat(seen);
  };

  test("that is what was announced comes through, by either algorithm", async () => {
    const size = bytes.length;
    expect((await read({ digest, size })).equals(bytes)).toBe(true);
    expect((await read({ digest: sha512, size }, 1)).equals(bytes)).toBe(true);
  });

  test.each([
    [digest, bytes.length + 1, /12 bytes, 13 were announced/],
    [digest, bytes.length - 1, /more than the 11 bytes/],
    [digestOf(Buffer.from("other")), bytes.length, /its digest is/],
  ])("that is not %s of %i bytes is refused", async (wanted, size, why) => {
    await expect(read({ digest: wanted, size })).rejects.toThrow(why);
    expect(() => verifyBytes(bytes, { digest: wanted, size })).toThrow(
      expect.objectContaining({ code: "MSB_ERR_DIGEST_MISMATCH" }),
    );
  });
});
