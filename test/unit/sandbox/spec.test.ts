import { describe, expect, it } from "vitest";
import { resolveSpec } from "../../../src/sandbox/spec.js";
import type { SandboxSpecOpts } from "../../../src/sandbox/service.js";

const NO_LIMITS = { idleTimeoutMs: 0, maxLifetimeMs: 0 };

describe("a spec", () => {
  it("has a default for all but the image", () => {
    expect(resolveSpec({ image: "python" }, NO_LIMITS)).toEqual({
      image: "python",
      memoryMiB: 1024,
      cpus: 1,
      diskMiB: 4096,
      env: [],
      workdir: null,
      user: null,
      labels: {},
      idleTimeoutMs: 0,
      maxLifetimeMs: 0,
    });
  });

  const wrong: [string, Record<string, unknown>][] = [
    ["image", { image: "" }],
    ["memoryMiB", { memoryMiB: 512.5 }],
    ["memoryMiB", { memoryMiB: -1 }],
    ["memoryMiB", { memoryMiB: "512" }],
    ["cpus", { cpus: 0 }],
    ["cpus", { cpus: 256 }],
    ["diskMiB", { diskMiB: 1 }],
    ["env", { env: ["NAME"] }],
    ["env", { env: ["=value"] }],
    ["env", { env: ["A=\0"] }],
    ["env", { env: [`A=${"x".repeat(200_000)}`] }],
    ["env", { env: "A=1" }],
    ["workdir", { workdir: "relative" }],
    ["workdir", { workdir: "/a\0" }],
    ["user", { user: "" }],
    ["user", { user: "a:b:c" }],
    ["user", { user: "a b" }],
    ["labels", { labels: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`l${i}`, ""])) }],
    ["labels", { labels: { "bad name": "" } }],
    ["labels.a", { labels: { a: "x".repeat(1025) } }],
    ["idleTimeoutMs", { idleTimeoutMs: -1 }],
    ["maxLifetimeMs", { maxLifetimeMs: Infinity }],
  ];
  it.each(wrong)("with a wrong %s names it", (option, opts) => {
    const spec = { image: "python", ...opts } as SandboxSpecOpts;
    expect(() => resolveSpec(spec, NO_LIMITS)).toThrow(
      expect.objectContaining({
        code: "MSB_ERR_INVALID_ARGUMENT",
        message: expect.stringContaining(`${option} cannot be`),
        details: expect.objectContaining({ option }),
      }),
    );
  });
});
