import { describe, expect, it, test } from "vitest";
import {
  canonicalName,
  familiarName,
  parseReference,
  type ImageReference,
} from "../../../src/oci/reference.js";

const HEX = "0123456789abcdef".repeat(4);
const DIGEST = `sha256:${HEX}`;

/** What is written, its canonical name, its familiar name. Canonical names are Docker's. */
const NAMES: readonly [string, string, string][] = [
  ["python", "docker.io/library/python:latest", "python:latest"],
  ["python:3.12", "docker.io/library/python:3.12", "python:3.12"],
  ["library/python", "docker.io/library/python:latest", "python:latest"],
  ["docker.io/python", "docker.io/library/python:latest", "python:latest"],
  ["index.docker.io/python", "docker.io/library/python:latest", "python:latest"],
  ["bitnami/redis", "docker.io/bitnami/redis:latest", "bitnami/redis:latest"],
  ["library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"],
  ["a/b/c/d", "docker.io/a/b/c/d:latest", "a/b/c/d:latest"],
  ["localhost", "docker.io/library/localhost:latest", "localhost:latest"],
  ["localhost/a", "localhost/a:latest", "localhost/a:latest"],
  ["localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"],
  ["localhost:5000/a", "localhost:5000/a:latest", "localhost:5000/a:latest"],
  ["docker.io/localhost/a", "docker.io/localhost/a:latest", "docker.io/localhost/a:latest"],
  ["ghcr.io/owner/name:tag", "ghcr.io/owner/name:tag", "ghcr.io/owner/name:tag"],
  ["GHCR.io/owner/name", "ghcr.io/owner/name:latest", "ghcr.io/owner/name:latest"],
  ["host.example:1/a:b", "host.example:1/a:b", "host.example:1/a:b"],
  ["127.0.0.1:5000/a/b:1", "127.0.0.1:5000/a/b:1", "127.0.0.1:5000/a/b:1"],
  ["[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"],
  ["[fd00::2]/a:t", "[fd00::2]/a:t", "[fd00::2]/a:t"],
  ["a__b/c---d.e_f", "docker.io/a__b/c---d.e_f:latest", "a__b/c---d.e_f:latest"],
  [`python@${DIGEST}`, `docker.io/library/python@${DIGEST}`, `python@${DIGEST}`],
  [`python:3@${DIGEST}`, `docker.io/library/python:3@${DIGEST}`, `python:3@${DIGEST}`],
  [`x@sha512:${HEX}${HEX}`, `docker.io/library/x@sha512:${HEX}${HEX}`, `x@sha512:${HEX}${HEX}`],
];

test.each(NAMES)("%s is %s", (text, canonical, familiar) => {
  const ref = parseReference(text);
  expect(canonicalName(ref)).toBe(canonical);
  expect(familiarName(ref)).toBe(familiar);
  expect(parseReference(canonical)).toEqual(ref);
  expect(parseReference(familiar)).toEqual(ref);
});

test("the parts are told apart", () => {
  expect(parseReference(`[::1]:5000/a/b:t@${DIGEST}`)).toEqual<ImageReference>({
    registry: "[::1]:5000",
    repository: "a/b",
    tag: "t",
    digest: DIGEST as ImageReference["digest"],
  });
});

describe("with another default registry", () => {
  const opts = { defaultRegistry: "registry.example" };

  it("names without a host are looked for there, without library/", () => {
    const ref = parseReference("python", opts);
    expect(canonicalName(ref)).toBe("registry.example/python:latest");
    expect(familiarName(ref, opts)).toBe("python:latest");
  });

  it("Docker Hub is named in full", () => {
    const ref = parseReference("docker.io/python", opts);
    expect(canonicalName(ref)).toBe("docker.io/library/python:latest");
    expect(familiarName(ref, opts)).toBe("docker.io/library/python:latest");
  });
});

const LONG = "a".repeat(255);
test("lengths end at 255 for the repository and 128 for the tag", () => {
  expect(parseReference(`host.example/${LONG}:${"t".repeat(128)}`).repository).toBe(LONG);
});

test.each([
  ["", /empty/],
  [" python", /white space/],
  ["python\n", /white space/],
  ["https://ghcr.io/a/b", /without https:\/\//],
  ["docker://python", /without docker:\/\//],
  [HEX, /sha256:/],
  ["Python", /lower case; write "library\/python"/],
  ["Owner/python", /lower case; write "owner\/python"/],
  ["ghcr.io/Owner/Name:T", /lower case; write "owner\/name"/],
  ["a//b", /empty/],
  ["a/", /empty/],
  ["/a", /empty/],
  ["ghcr.io/", /empty/],
  ["a b", /"a b"/],
  ["a..b", /single \./],
  ["a/-b", /"-b"/],
  ["..", /"\.\."/],
  ["../etc/passwd", /neither a host/],
  ["a/../b", /"\.\."/],
  ["a:", /no tag after/],
  ["a:.t", /the tag "\.t"/],
  ["a:t/../../x", /./],
  [`a:${"t".repeat(129)}`, /limit is 128/],
  [`${LONG}a`, /limit is 255/],
  ["a".repeat(5000), /limit is 1024/],
  ["a@", /after @/],
  ["a@sha256:abc", /after @/],
  [`a@${DIGEST.toUpperCase()}`, /after @/],
  [`a@md5:${HEX}`, /after @/],
  [`a@${DIGEST}@${DIGEST}`, /after @/],
  ["host.example:99999/a", /neither a host/],
  ["[::1/a", /neither a host/],
  ["user:pw@host.example/a", /after @/],
  ["\u001b[31mred", /\ufffd\[31mred/],
] as const)("%j is refused with advice", (text, advice) => {
  expect(() => parseReference(text)).toThrowError(
    expect.objectContaining({
      code: "MSB_ERR_INVALID_REFERENCE",
      message: expect.stringMatching(advice) as string,
    }) as Error,
  );
});
