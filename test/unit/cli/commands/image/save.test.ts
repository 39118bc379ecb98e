import { describe, expect, it } from "vitest";
import { cli } from "../../../../helpers/cli.js";

describe("image save", () => {
  it.each([[["image", "save", "a"]], [["image", "save", "a", "-o", "-"]]])(
    "%j writes the archive to standard output, and nothing else",
    async (args) => {
      const { exitCode, stdout, stderr } = await cli(args);
      expect([stdout, stderr]).toEqual(["archive", ""]);
      expect(exitCode).toBe(0);
    },
  );

  it("writes a file, in the format that was asked for", async () => {
    const { stdout, images } = await cli(
      ["image", "save", "a", "b", "a", "-o", "x.tar", "--format", "docker"],
      { terminals: ["stdout"] },
    );
    expect(stdout).toBe("Saved a, b to x.tar\n");
    expect(images.calls[0]?.args).toMatchObject([["a", "b"], "x.tar", { format: "docker" }]);
  });

  it("takes the OCI format unless another was asked for", async () => {
    const { images } = await cli(["image", "save", "a", "-o", "x"]);
    expect(images.calls[0]?.args[2]).toMatchObject({ format: "oci" });
  });

  it("says what it has written as a document with --json, and nothing with --quiet", async () => {
    const json = await cli(["image", "save", "a", "-o", "x", "--json", "--format", "oci-dir"]);
    expect(JSON.parse(json.stdout)).toEqual({ images: ["a"], output: "x", format: "oci-dir" });
    expect((await cli(["image", "save", "a", "-o", "x", "-q"])).stdout).toBe("");
  });

  it.each([
    ["an archive on a terminal", ["a"], "Standard output is a terminal"],
    ["a folder on standard output", ["a", "--format", "oci-dir"], "A folder cannot go to"],
    ["archive and document on one stream", ["a", "--json"], "cannot have the archive and a JSON"],
  ])("refuses %s", async (_what, args, message) => {
    const { exitCode, stdout, stderr, images } = await cli(["image", "save", ...args], {
      terminals: ["stdout"],
    });
    expect(stderr).toContain(message);
    expect(stderr).toContain("--output");
    expect(stdout).toBe("");
    expect(images.calls).toEqual([]);
    expect(exitCode).toBe(2);
  });
});
