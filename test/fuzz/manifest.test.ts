/** What a registry sends: documents and challenges, as JSON, as nearly the right JSON, as noise. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { isMsbError } from "../../src/errors.js";
import { isDigest } from "../../src/oci/digest.js";
import {
  compressionOf,
  layersOf,
  type Manifest,
  MAX_LAYERS,
  MediaType,
  parseImageConfig,
  parseManifestDocument,
} from "../../src/oci/manifest.js";
import { choosePlatform, formatPlatform, parsePlatform } from "../../src/oci/platform.js";
import { formatChallenge, parseChallenges } from "../../src/oci/registry/challenge.js";
import { parseRetryAfter } from "../../src/oci/registry/retry.js";

const RUNS = Number(process.env["MSB_FUZZ_RUNS"] ?? 10_000);

/** The result of `work`; undefined when it throws one of `codes`, and no other error. */
function attempt<T>(work: () => T, ...codes: readonly string[]): T | undefined {
  try {
    return work();
  } catch (error) {
    if (isMsbError(error) && codes.includes(error.code)) return undefined;
    throw error;
  }
}

const junk = fc.oneof(
  fc.constantFrom<unknown>(null, 0, -1, 1e300, "", "x", [], {}, true, "\u0000\ud800"),
  fc.jsonValue({ maxDepth: 2 }),
);
/** Mostly what belongs there. */
const mostly = <T>(good: fc.Arbitrary<T>) =>
  fc.oneof(
    { weight: 60, arbitrary: good as fc.Arbitrary<unknown> },
    { weight: 1, arbitrary: junk },
  );
const record = (fields: Record<string, fc.Arbitrary<unknown>>) =>
  fc
    .record(Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, mostly(value)])))
    .chain((whole) => {
      const keys = Object.keys(whole);
      const without = fc.constantFrom(...keys).map((gone) => keys.filter((key) => key !== gone));
      return fc
        .oneof({ weight: 30, arbitrary: fc.constant(keys) }, { weight: 1, arbitrary: without })
        .map((kept) => Object.fromEntries(kept.map((key) => [key, whole[key]])));
    });

const digest = fc
  .string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: 64, maxLength: 64 })
  .map((hex) => `sha256:${hex}`);
const mediaType = fc.constantFrom(...Object.values(MediaType), "application/json", "");
const platform = record({
  os: fc.constantFrom("linux", "windows", "unknown"),
  architecture: fc.constantFrom("amd64", "arm64", "arm", "unknown"),
  variant: fc.constantFrom("v8", "v7", "v1", "", "\u001b"),
});
const descriptor = record({ mediaType, digest, size: fc.nat(), platform });
const descriptors = fc.array(mostly(descriptor), { maxLength: 4 });
const index = record({
  schemaVersion: fc.constant(2),
  mediaType: fc.constantFrom(MediaType.ociIndex, MediaType.dockerIndex),
  manifests: descriptors,
});
const manifest = record({
  schemaVersion: fc.constant(2),
  mediaType: fc.constantFrom(MediaType.ociManifest, MediaType.dockerManifest),
  config: descriptor,
  layers: descriptors,
});
const config = record({
  architecture: fc.constant("amd64"),
  os: fc.constant("linux"),
  config: record({
    Env: fc.array(mostly(fc.string()), { maxLength: 3 }),
    Labels: fc.dictionary(fc.string(), mostly(fc.string()), { maxKeys: 3 }),
  }),
  rootfs: record({
    type: fc.constant("layers"),
    diff_ids: fc.array(mostly(digest), { maxLength: 4 }),
  }),
});

/** As JSON, some of it broken or cut. */
const bytesOf = (json: fc.Arbitrary<unknown>) =>
  fc.oneof(
    { weight: 8, arbitrary: json.map((value) => Buffer.from(JSON.stringify(value) ?? "")) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(json, fc.nat(), fc.integer({ min: 0, max: 255 }))
        .map(([value, at, byte]) => {
          const bytes = Buffer.from(JSON.stringify(value) ?? "");
          if (bytes.length > 0) bytes[at % bytes.length] = byte;
          return bytes.subarray(0, byte % 2 === 0 ? bytes.length : at % (bytes.length + 1));
        }),
    },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)) },
  );

it("an index or a manifest is taken whole or refused, and read the same when it is written again", () => {
  const kinds = { index: 0, manifest: 0 };
  fc.assert(
    fc.property(
      bytesOf(fc.oneof(index, manifest)),
      fc.option(mediaType, { freq: 1 }),
      (bytes, type) => {
        const document = attempt(
          () => parseManifestDocument(bytes, type ?? undefined),
          "MSB_ERR_IMAGE_INVALID",
        );
        if (document === undefined) return;
        kinds[document.kind] += 1;
        const content = document.kind === "index" ? document.index : document.manifest;
        const again = parseManifestDocument(
          Buffer.from(JSON.stringify(content)),
          document.mediaType,
        );
        expect(again).toEqual(document);
        if (document.kind === "index") {
          const wanted = parsePlatform("linux/arm64/v8");
          attempt(() => choosePlatform(document.index, wanted), "MSB_ERR_IMAGE_PLATFORM");
          for (const entry of document.index.manifests) {
            if (entry.platform) formatPlatform(entry.platform);
          }
          return;
        }
        expect(document.manifest.layers.length).toBeLessThanOrEqual(MAX_LAYERS);
        for (const layer of document.manifest.layers) {
          expect(isDigest(layer.digest)).toBe(true);
          expect(Number.isSafeInteger(layer.size) && layer.size >= 0).toBe(true);
          attempt(() => compressionOf(layer.mediaType), "MSB_ERR_IMAGE_INVALID");
        }
      },
    ),
    { numRuns: RUNS },
  );
  expect(Math.min(kinds.index, kinds.manifest)).toBeGreaterThan(RUNS / 50);
});

it("an image config is taken whole or refused, and never has layers that do not pair", () => {
  let taken = 0;
  const layers = fc.integer({ min: 0, max: 4 });
  fc.assert(
    fc.property(bytesOf(config), layers, (bytes, count) => {
      const parsed = attempt(() => parseImageConfig(bytes), "MSB_ERR_IMAGE_INVALID");
      if (parsed === undefined) return;
      taken += 1;
      expect(parseImageConfig(Buffer.from(JSON.stringify(parsed)))).toEqual(parsed);
      const entry = { mediaType: MediaType.ociLayer, digest: `sha256:${"0".repeat(64)}`, size: 1 };
      const of = {
        schemaVersion: 2,
        config: entry,
        layers: Array.from({ length: count }, () => entry),
      };
      const pairs = attempt(() => layersOf(of as Manifest, parsed), "MSB_ERR_IMAGE_INVALID");
      expect(pairs?.length ?? count).toBe(count);
    }),
    { numRuns: RUNS },
  );
  expect(taken).toBeGreaterThan(RUNS / 50);
});

const challengeText = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ...["Bearer", "Basic", "Negotiate", "realm", "service", "scope", "=", '"', ",", " ", "\t"],
        ...[
          'realm="https://a/b"',
          'scope="repository:a/b:pull"',
          "\\",
          '\\"',
          "a",
          "==",
          "\u00ff",
          "\r\n",
        ],
      ),
      fc.string({ maxLength: 5 }),
    ),
    { maxLength: 30 },
  )
  .map((pieces) => pieces.join(""));

it("a challenge is read as far as it can be, and the same when it is written again", () => {
  let found = 0;
  fc.assert(
    fc.property(fc.array(challengeText, { maxLength: 3 }), (lines) => {
      for (const challenge of parseChallenges(lines)) {
        found += 1;
        expect(challenge.scheme).toBe(challenge.scheme.toLowerCase());
        expect(parseChallenges([formatChallenge(challenge)])).toEqual([challenge]);
      }
    }),
    { numRuns: RUNS },
  );
  expect(found).toBeGreaterThan(RUNS / 4);
});

it("a challenge of any length takes linear time", () => {
  // Quadratic or worse, each of these would take minutes.
  for (const piece of ["a", "a=", 'a="', "a ", ",", '\\"', "a,b c=d,", '"', "=", "a/"]) {
    const line = piece.repeat(Math.floor((16 * 1024) / piece.length));
    for (const prefix of ["", "Bearer ", 'Bearer realm="']) {
      const lines = Array.from({ length: 50 }, () => (prefix + line).slice(0, 16 * 1024));
      expect(parseChallenges(lines).length).toBeLessThanOrEqual(16);
    }
  }
});

it("a Retry-After is a time in the future or nothing", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
      ),
      (text) => {
        const ms = parseRetryAfter(text, 0);
        expect(ms === undefined || (Number.isFinite(ms) && ms >= 0)).toBe(true);
      },
    ),
    { numRuns: RUNS },
  );
});
