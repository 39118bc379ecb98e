import { describe, expect, it, test } from "vitest";
import type { Digest } from "../../../src/oci/digest.js";
import { type Descriptor, type Index, MediaType } from "../../../src/oci/manifest.js";
import {
  choosePlatform,
  formatPlatform,
  hostPlatform,
  isPlatformMatch,
  parsePlatform,
} from "../../../src/oci/platform.js";

const digest = (n: number): Digest => `sha256:${n.toString(16).padStart(64, "0")}`;

/** An index of these platforms; an empty text is an entry without one. */
function indexOf(...platforms: string[]): Index {
  const manifests = platforms.map((text, n): Descriptor => {
    const [os = "", architecture = "", variant] = text.split("/");
    const platform = { os, architecture, ...(variant === undefined ? {} : { variant }) };
    return {
      mediaType: MediaType.ociManifest,
      digest: digest(n),
      size: 1,
      ...(text === "" ? {} : { platform }),
    };
  });
  return { schemaVersion: 2, manifests };
}

const chosen = (index: Index, wanted: string): number =>
  index.manifests.indexOf(choosePlatform(index, parsePlatform(wanted)));

test("the platform of a host is that of its guests", () => {
  expect(hostPlatform("x64")).toEqual({ os: "linux", architecture: "amd64" });
  expect(formatPlatform(hostPlatform("arm64"))).toBe("linux/arm64/v8");
  expect(() => hostPlatform("mips")).toThrowError(
    expect.objectContaining({ code: "MSB_ERR_PLATFORM_UNSUPPORTED" }) as Error,
  );
});

test.each([
  ["linux/amd64", "linux/amd64"],
  ["arm64", "linux/arm64"],
  ["linux/aarch64/v8", "linux/arm64/v8"],
  ["Linux/X86_64", "linux/amd64"],
  ["linux/arm/v7", "linux/arm/v7"],
])("%s is read as %s", (text, printed) => {
  expect(formatPlatform(parsePlatform(text))).toBe(printed);
});

test.each([
  "",
  "linux",
  "windows/amd64",
  "linux/",
  "linux//v8",
  "linux/a/b/c",
  "linux/a b",
  "a".repeat(99),
])("%j is no platform", (text) => {
  expect(() => parsePlatform(text)).toThrowError(
    expect.objectContaining({
      code: "MSB_ERR_INVALID_ARGUMENT",
      message: expect.stringContaining("linux/arm64/v8") as string,
    }) as Error,
  );
});

describe("the choice from an index", () => {
  it.each([
    [["linux/arm64/v8", "linux/amd64"], "linux/amd64", 1],
    [["linux/amd64", "linux/arm64"], "linux/arm64/v8", 1],
    [["linux/amd64", "linux/arm64/v8"], "linux/arm64", 1],
    // What needs a newer CPU is not chosen; of what runs the best is.
    [["linux/amd64/v3", "linux/amd64", "linux/amd64/v2"], "linux/amd64", 1],
    [["linux/amd64", "linux/amd64/v2", "linux/amd64/v3"], "linux/amd64/v2", 1],
    [["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"], "linux/arm/v6", 2],
    [["linux/arm64/v9", "linux/arm64/v8"], "linux/arm64/v8", 1],
    [["linux/amd64", "linux/amd64/v1"], "linux/amd64", 0],
    [["windows/amd64", "linux/amd64"], "linux/amd64", 1],
    [["linux/x86_64"], "linux/amd64", 0],
    [["linux/riscv64/rva22", "linux/riscv64"], "linux/riscv64", 1],
    // One entry that says nothing can only be meant.
    [[""], "linux/amd64", 0],
    [["", "linux/amd64"], "linux/amd64", 1],
  ] as const)("of %j for %s is number %i", (platforms, wanted, expected) => {
    expect(chosen(indexOf(...platforms), wanted)).toBe(expected);
  });

  it("never falls on an attestation or an artifact", () => {
    const index = indexOf("unknown/unknown", "linux/amd64", "linux/amd64");
    const [, attestation, image] = index.manifests;
    attestation!.annotations = { "vnd.docker.reference.type": "attestation-manifest" };
    expect(choosePlatform(index, hostPlatform("x64"))).toBe(image);
    image!.mediaType = "application/vnd.example.chart";
    expect(() => choosePlatform(index, hostPlatform("x64"))).toThrowError(/no images at all/);
  });

  it("that finds nothing says what there is", () => {
    const index = indexOf("linux/s390x", "linux/arm64/v8", "linux/s390x", "linux/\u001b[31m", "");
    expect(() => choosePlatform(index, parsePlatform("linux/amd64"))).toThrowError(
      expect.objectContaining({
        code: "MSB_ERR_IMAGE_PLATFORM",
        details: {
          wanted: "linux/amd64",
          found: [
            "linux/s390x",
            "linux/arm64/v8",
            "linux/\ufffd[31m",
            "one that names no platform",
          ],
        },
      }) as Error,
    );
  });
});

test("a match of two platforms follows the same rule", () => {
  expect(isPlatformMatch(parsePlatform("linux/arm64/v8"), parsePlatform("arm64"))).toBe(true);
  expect(isPlatformMatch(parsePlatform("linux/amd64/v3"), parsePlatform("amd64"))).toBe(false);
});
