import { describe, expect, it } from "vitest";
import { MsbError } from "../../../../../src/errors.js";
import { cli } from "../../../../helpers/cli.js";
import { digestOfDigit, FakeImages } from "../../../../helpers/fake-images.js";

describe("image build", () => {
  it("builds a recipe and says what came of it", async () => {
    const { exitCode, stdout, images } = await cli(["image", "build", "python"]);
    expect(images.calls.map(({ method, args }) => [method, args[0]])).toEqual([
      ["build", "python"],
    ]);
    expect(stdout).toBe("Built python:3.12 (aaaaaaaaaaaa): 1 layer, 30 MB, disk 81 MB\n");
    expect(exitCode).toBe(0);
  });

  it("gives the image every name it was asked for", async () => {
    const { images, stdout } = await cli([
      "image",
      "build",
      "./r",
      "-t",
      "a:1",
      "--tag",
      "b:2",
      "--platform",
      "linux/amd64",
      "--json",
    ]);
    expect(images.calls[0]?.args[1]).toMatchObject({ platform: "linux/amd64" });
    expect(images.calls.slice(1)).toEqual([
      { method: "tag", args: [digestOfDigit("a"), "a:1"] },
      { method: "tag", args: [digestOfDigit("a"), "b:2"] },
    ]);
    expect(JSON.parse(stdout).names).toContain("b:2");
  });

  it("prints the digest alone with --quiet", async () => {
    const { stdout, stderr } = await cli(["image", "build", "-q", "base"]);
    expect([stdout, stderr]).toEqual([`${digestOfDigit("a")}\n`, ""]);
  });

  it("shows the last words of the tool that failed", async () => {
    const images = new FakeImages();
    images.before["build"] = () =>
      Promise.reject(
        new MsbError("MSB_ERR_RECIPE_FAILED", "The recipe failed:\nE: no such package"),
      );
    const { exitCode, stderr } = await cli(["image", "build", "base"], { images });
    expect(stderr).toBe(
      "msb-ts: The recipe failed:\nE: no such package\n(MSB_ERR_RECIPE_FAILED)\n",
    );
    expect(exitCode).toBe(70);
  });
});
