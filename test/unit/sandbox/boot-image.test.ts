import { expect, test } from "vitest";
import { ensureBootImage, repositoryOf } from "../../../src/sandbox/boot-image.js";
import { digestOfDigit } from "../../helpers/fake-images.js";
import { BenchImages } from "../../helpers/sandbox-bench.js";

const disk = {
  image: "python",
  digest: digestOfDigit("a"),
  repository: "docker.io/library/python",
  sizeMiB: 1,
};

test("a sandbox without a disk, or with another image's, boots what the name stands for", async () => {
  const images = new BenchImages();
  await ensureBootImage(images, { image: "python", disk: null }, {});
  await ensureBootImage(images, { image: "node", disk }, {});
  expect(images.asked).toEqual(["python", "node"]);
});

test("the very image of a disk is looked for here, then where it came from", async () => {
  const images = new BenchImages();
  await ensureBootImage(images, { image: "python", disk }, {});
  expect(images.asked).toEqual([disk.digest]);
  images.before = async (name) => {
    if (name === disk.digest) images.images.delete("python");
    else images.add("pulled", "a");
  };
  const image = await ensureBootImage(images, { image: "python", disk }, {});
  expect(images.asked.at(-1)).toBe(`docker.io/library/python@${disk.digest}`);
  expect(image.digest).toBe(disk.digest);
});

test("an image that is nowhere any more is an error that says what to do", async () => {
  const images = new BenchImages();
  images.images.clear();
  for (const repository of [disk.repository, null]) {
    await expect(
      ensureBootImage(images, { image: "python", disk: { ...disk, repository } }, {}),
    ).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_NOT_FOUND",
      message: expect.stringContaining("remove the sandbox"),
    });
  }
});

test("where an image came from is its name without tag", () => {
  expect(repositoryOf({ names: ["host:5000/team/app:1"] })).toBe("host:5000/team/app");
  expect(repositoryOf({ names: [] })).toBeNull();
});
