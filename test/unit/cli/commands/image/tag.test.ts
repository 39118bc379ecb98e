import { describe, expect, it } from "vitest";
import { cli } from "../../../../helpers/cli.js";

describe("image tag", () => {
  it("gives an image a name and says so", async () => {
    const { exitCode, stdout, images } = await cli(["image", "tag", "python", "team/python:1"]);
    expect(images.calls).toEqual([{ method: "tag", args: ["python", "team/python:1"] }]);
    expect(stdout).toBe("Tagged aaaaaaaaaaaa as team/python:1\n");
    expect(exitCode).toBe(0);
  });

  it("prints the image as a document with --json", async () => {
    const { stdout } = await cli(["image", "tag", "--json", "python", "x"]);
    expect(JSON.parse(stdout).names).toContain("x");
  });
});
