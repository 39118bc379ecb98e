/** Names of images from anybody: read or refused, and what is printed is read as the same. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { isMsbError } from "../../src/errors.js";
import {
  canonicalName,
  familiarName,
  type ImageReference,
  parseReference,
} from "../../src/oci/reference.js";

const RUNS = Number(process.env["MSB_FUZZ_RUNS"] ?? 20_000);
const HEX = "0123456789abcdef".repeat(4);

/** Pieces of names in any order: far more of them are nearly right than of random text. */
const nearlyRight = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ...[
          "library",
          "docker.io",
          "index.docker.io",
          "localhost",
          "a",
          "A",
          "0",
          "[::1]",
          "ghcr.io",
        ],
        ...[
          ":",
          "/",
          "@",
          ".",
          "_",
          "__",
          "-",
          "//",
          ":5000",
          "sha256:",
          "sha512:",
          HEX,
          " ",
          "\n",
        ],
        ...["https://", "::", "[", "]", "latest", "\u00e4", "\u0000", "%2f", ".."],
      ),
      fc.string({ maxLength: 4 }),
    ),
    { maxLength: 12 },
  )
  .map((pieces) => pieces.join(""));

const text = fc.oneof(nearlyRight, fc.string({ maxLength: 300 }), fc.string({ unit: "binary" }));
const defaultRegistry = fc.constantFrom(undefined, "docker.io", "registry.example:5000");

function parsed(name: string, opts: { defaultRegistry?: string } = {}): ImageReference | undefined {
  try {
    return parseReference(name, opts);
  } catch (error) {
    if (isMsbError(error, "MSB_ERR_INVALID_REFERENCE")) return undefined;
    throw error;
  }
}

it("a name is read or refused, and what is printed is read as the same reference", () => {
  let taken = 0;
  fc.assert(
    fc.property(text, defaultRegistry, (name, home) => {
      const opts = home === undefined ? {} : { defaultRegistry: home };
      const ref = parsed(name, opts);
      if (ref === undefined) return;
      taken += 1;
      expect(parsed(canonicalName(ref))).toEqual(ref);
      expect(parsed(canonicalName(ref), opts)).toEqual(ref);
      expect(parsed(familiarName(ref, opts), opts)).toEqual(ref);
      expect(canonicalName(parseReference(canonicalName(ref)))).toBe(canonicalName(ref));
    }),
    { numRuns: RUNS },
  );
  // A property that hardly anything comes to says nothing.
  expect(taken).toBeGreaterThan(RUNS / 50);
});

it("a name that is taken cannot leave its place in a path or a URL", () => {
  fc.assert(
    fc.property(text, (name) => {
      const ref = parsed(name);
      if (ref === undefined) return;
      const { registry, repository, tag } = ref;
      expect(`${repository}/${tag ?? ""}`).toMatch(/^[a-z0-9._/-]+\/[\w.-]*$/);
      expect(repository.split("/")).not.toContain("..");
      const path = `/v2/${repository}/manifests/${tag ?? "x"}`;
      const url = new URL(path, `https://${registry}`);
      expect(url.pathname).toBe(path);
      expect([url.username, url.password, url.search, url.hash]).toEqual(["", "", "", ""]);
    }),
    { numRuns: RUNS },
  );
});
