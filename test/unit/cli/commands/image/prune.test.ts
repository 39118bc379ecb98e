import { describe, expect, it } from "vitest";
import { stopReason } from "../../../../../src/cli/error-report.js";
import { cli, type CliOpts } from "../../../../helpers/cli.js";
import { digestOfDigit, FakeImages } from "../../../../helpers/fake-images.js";

const AT_TERMINAL = { terminals: ["stdin", "stdout", "stderr"] } as const;
const prune = (args: readonly string[], opts: CliOpts = {}) =>
  cli(["image", "prune", ...args], opts);

describe("image prune", () => {
  it("removes what has no name without asking, terminal or not", async () => {
    for (const opts of [{}, AT_TERMINAL]) {
      const { exitCode, stdout, stderr, images } = await prune([], opts);
      expect(images.calls).toEqual([{ method: "prune", args: [{ all: false }] }]);
      expect([stdout, stderr]).toEqual(["Nothing to remove.\n", ""]);
      expect(exitCode).toBe(0);
    }
  });

  it("says what is gone, and what came free when that has no name", async () => {
    const images = new FakeImages();
    images.removed = { names: [], digests: [digestOfDigit("a")], freedBytes: 5e6 };
    expect((await prune([], { images })).stdout).toBe(
      `Deleted: ${digestOfDigit("a")}\nFreed: 5 MB\n`,
    );
    images.removed = { names: [], digests: [], freedBytes: 5e6 };
    expect((await prune([], { images })).stdout).toBe("Freed: 5 MB\n");
    expect(JSON.parse((await prune(["--json"], { images })).stdout)).toEqual({
      ...images.removed,
      warmed: [],
    });
  });

  it("says what stays because a server has warmed it", async () => {
    const images = new FakeImages();
    images.warmed = ["docker.io/library/python:latest", digestOfDigit("b")];
    expect((await prune(["--all", "--yes"], { images })).stdout).toBe(
      "Kept: python:latest, which a running server has warmed\n" +
        `Kept: ${digestOfDigit("b")}, which a running server has warmed\nNothing to remove.\n`,
    );
  });

  it.each(["y\n", "Yes\n", " y "])("--all goes on after %j", async (stdin) => {
    const { exitCode, stderr, images } = await prune(["--all"], { ...AT_TERMINAL, stdin });
    expect(stderr).toBe(
      "Every image that no sandbox uses and no server has warmed is removed. Go on? [y/N] ",
    );
    expect(images.calls).toEqual([{ method: "prune", args: [{ all: true }] }]);
    expect(exitCode).toBe(0);
  });

  it.each(["n\n", "\n", "", "yellow\n"])("--all removes nothing after %j", async (stdin) => {
    const { exitCode, stdout, images } = await prune(["--all"], { ...AT_TERMINAL, stdin });
    expect(images.calls).toEqual([]);
    expect(stdout).toBe("Nothing was removed.\n");
    expect(exitCode).toBe(0);
  });

  it("--all --json is a document also after a no", async () => {
    const { stdout } = await prune(["--all", "--json"], { ...AT_TERMINAL, stdin: "n\n" });
    expect(JSON.parse(stdout)).toEqual({ names: [], digests: [], freedBytes: 0, warmed: [] });
  });

  it.each([
    ["no terminal", {}],
    ["a terminal of a build server", { ...AT_TERMINAL, env: { CI: "true" } }],
    ["input from a pipe", { terminals: ["stdout", "stderr"], stdin: "y\n" }],
  ] as const)("--all with %s needs --yes", async (_where, opts) => {
    const refused = await prune(["--all"], opts);
    expect(refused.stderr).toContain("there is nobody to ask: give --yes.");
    expect(refused.exitCode).toBe(2);
    expect(refused.images.calls).toEqual([]);
    const { stderr, images } = await prune(["-a", "-y"], opts);
    expect(stderr).toBe("");
    expect(images.calls).toEqual([{ method: "prune", args: [{ all: true }] }]);
  });

  it("--all stops while it asks", async () => {
    const stop = new AbortController();
    const running = prune(["--all"], { ...AT_TERMINAL, signal: stop.signal });
    stop.abort(stopReason("SIGINT"));
    const { exitCode, images } = await running;
    expect(exitCode).toBe(130);
    expect(images.calls).toEqual([]);
  });
});
