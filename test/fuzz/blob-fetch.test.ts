/** Whatever a registry and a disk do to a download: it ends with the right content, or with an error and none. */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import { isMsbError, MsbError } from "../../src/errors.js";
import { hexOf } from "../../src/oci/digest.js";
import { BlobStore } from "../../src/oci/store/blob-store.js";
import type { OpenBlob } from "../../src/oci/store/fetch-blob.js";
import { msbPaths } from "../../src/paths.js";
import { chunked, expectedOf, someBytes } from "../helpers/blobs.js";
import { tempDir } from "../helpers/temp-dir.js";

const SIZE_BYTES = 3_000;
const bytes = someBytes(SIZE_BYTES);
const blob = expectedOf(bytes);

/** One answer of the registry. */
const answer = fc.record({
  /** Bytes after which the connection is lost; more than there are: it holds. */
  limit: fc.nat(2 * SIZE_BYTES),
  chunkBytes: fc.integer({ min: 1, max: 1_000 }),
  offset: fc.constantFrom("asked", "asked", "asked", "zero", "odd"),
  /** Which byte is changed, if any. */
  spoilt: fc.option(fc.nat(SIZE_BYTES - 1), { freq: 8 }),
  extra: fc.constantFrom(0, 0, 0, 0, 1, 5_000),
});

/** What is left of an earlier download. */
const left = fc.option(
  fc.record({ sizeBytes: fc.nat(SIZE_BYTES + 10), spoilt: fc.option(fc.nat(SIZE_BYTES - 1)) }),
);

function spoil(content: Buffer, at: number | null): Buffer {
  const copy = Buffer.from(content);
  if (at !== null && at < copy.length) copy[at]! ^= 1;
  return copy;
}

test("a download is right or not there", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(answer, { maxLength: 12 }), left, async (answers, before) => {
      const paths = msbPaths(await tempDir());
      const retry = { attempts: 3, baseDelayMs: 0, maxDelayMs: 0 };
      const store = new BlobStore(paths, { retry });
      if (before !== null) {
        await mkdir(paths.imagePartialRoot, { recursive: true });
        const padded = Buffer.concat([spoil(bytes, before.spoilt), Buffer.alloc(10)]);
        const path = paths.imagePartial("sha256", hexOf(blob.digest));
        await writeFile(path, padded.subarray(0, before.sizeBytes));
      }
      let count = 0;
      const open: OpenBlob = async (asked) => {
        const { limit, chunkBytes, offset, spoilt, extra } = answers[count++] ?? {
          limit: Number.POSITIVE_INFINITY,
          chunkBytes: 500,
          offset: "asked" as const,
          spoilt: null,
          extra: 0,
        };
        const at = { asked, zero: 0, odd: Math.floor(asked / 2) }[offset];
        const content = Buffer.concat([spoil(bytes, spoilt), Buffer.alloc(extra)]).subarray(at);
        const body = async function* (): AsyncGenerator<Uint8Array> {
          yield* chunked(content.subarray(0, limit), chunkBytes);
          if (limit < content.length) throw new MsbError("MSB_ERR_REGISTRY_UNAVAILABLE", "lost");
        };
        return { offset: at, body: body() };
      };
      const error = await store.fetch(blob, open).catch((reason: unknown) => reason);
      const isThere = await store.has(blob);
      expect(error === undefined || isMsbError(error)).toBe(true);
      expect(isThere).toBe(error === undefined);
      expect(!isThere || bytes.equals((await store.read(blob))!)).toBe(true);
      const mayBeLeft = !isThere && !isMsbError(error, "MSB_ERR_DIGEST_MISMATCH");
      expect(mayBeLeft || (await readdir(paths.imagePartialRoot)).length === 0).toBe(true);
      // With a registry that behaves it always ends well.
      count = answers.length;
      await store.fetch(blob, open);
      expect(bytes.equals((await store.read(blob))!)).toBe(true);
    }),
    { numRuns: 300 },
  );
});
