import { describe, expect, it } from "vitest";
import { MsbError } from "../../../../../src/errors.js";
import { cli } from "../../../../helpers/cli.js";
import { digestOfDigit, FakeImages } from "../../../../helpers/fake-images.js";

function removing(): FakeImages {
  const images = new FakeImages();
  images.removed = {
    names: ["docker.io/library/python:3.12"],
    digests: [digestOfDigit("a")],
    freedBytes: 111e6,
  };
  return images;
}

describe("image rm", () => {
  it("says what is gone", async () => {
    const { exitCode, stdout, images } = await cli(["image", "rm", "python:3.12", "python:3.12"], {
      images: removing(),
    });
    expect(stdout).toBe(`Untagged: python:3.12\nDeleted: ${digestOfDigit("a")}\nFreed: 111 MB\n`);
    expect(images.calls).toEqual([{ method: "remove", args: [["python:3.12"], {}] }]);
    expect(exitCode).toBe(0);
  });

  it("says nothing of space when an image has other names", async () => {
    const images = removing();
    images.removed = { ...images.removed, digests: [], freedBytes: 0 };
    const { stdout } = await cli(["image", "rm", "python:3.12"], { images });
    expect(stdout).toBe("Untagged: python:3.12\n");
  });

  it("passes on --force, also by its other name", async () => {
    const { images } = await cli(["image", "remove", "--force", "a", "b"]);
    expect(images.calls).toEqual([{ method: "remove", args: [["a", "b"], { force: true }] }]);
  });

  it("prints what is gone as a document with --json", async () => {
    const images = removing();
    const { stdout } = await cli(["image", "rm", "--json", "a"], { images });
    expect(JSON.parse(stdout)).toEqual(images.removed);
  });

  it("fails for an image that is in use", async () => {
    const images = new FakeImages();
    images.before["remove"] = () =>
      Promise.reject(new MsbError("MSB_ERR_IMAGE_IN_USE", "The sandbox demo uses it."));
    const { exitCode, stdout, stderr } = await cli(["image", "rm", "a"], { images });
    expect([stdout, stderr]).toEqual([
      "",
      "msb-ts: The sandbox demo uses it. (MSB_ERR_IMAGE_IN_USE)\n",
    ]);
    expect(exitCode).toBe(75);
  });
});
