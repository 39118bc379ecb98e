import { describe, expect, it } from "vitest";
import { cli } from "../../../../helpers/cli.js";
import { digestOfDigit, fakeImage, FakeImages } from "../../../../helpers/fake-images.js";

function three(): FakeImages {
  const images = new FakeImages();
  images.images = [
    fakeImage({ digest: digestOfDigit("b"), names: [], createdAt: null, disk: null }),
    fakeImage({
      names: ["docker.io/library/python:3.12", "registry.example:5000/team/python:stable"],
    }),
    fakeImage({
      digest: digestOfDigit("d"),
      names: ["docker.io/library/alpine:3"],
      config: { ...fakeImage().config, labels: {} },
    }),
  ];
  return images;
}

const ls = (...args: string[]) => cli(["image", "ls", ...args], { images: three() });
const idsOf = async (...args: string[]) => (await ls("-q", ...args)).stdout.trim().split("\n");
const [A, B, D] = ["aaaaaaaaaaaa", "bbbbbbbbbbbb", "dddddddddddd"];

describe("image ls", () => {
  it("has a row for each name, sorted, images without one last", async () => {
    const { exitCode, stdout, stderr } = await ls();
    expect(stdout).toBe(
      [
        "REPOSITORY                          TAG      IMAGE ID       CREATED       SIZE    DISK",
        "alpine                              3        dddddddddddd   3 weeks ago   30 MB   81 MB",
        "python                              3.12     aaaaaaaaaaaa   3 weeks ago   30 MB   81 MB",
        "registry.example:5000/team/python   stable   aaaaaaaaaaaa   3 weeks ago   30 MB   81 MB",
        "<none>                              <none>   bbbbbbbbbbbb   -             30 MB   -",
        "",
      ].join("\n"),
    );
    expect(stderr).toBe("");
    expect(exitCode).toBe(0);
  });

  it("has its head only when there is nothing", async () => {
    const images = new FakeImages();
    images.images = [];
    const { stdout } = await cli(["image", "ls"], { images });
    expect(stdout).toBe("REPOSITORY   TAG   IMAGE ID   CREATED   SIZE   DISK\n");
    expect((await cli(["image", "ls", "--json"], { images })).stdout).toBe("[]\n");
    expect((await cli(["image", "ls", "-q"], { images })).stdout).toBe("");
  });

  it("shows digests and whole ids when asked", async () => {
    const { stdout } = await ls("--digests", "--no-trunc");
    const [head, row] = stdout.split("\n");
    expect(head).toMatch(/^REPOSITORY +TAG +DIGEST +IMAGE ID/);
    expect(row?.match(/sha256:d{64}/g)).toHaveLength(2);
    expect((await ls("--digests")).stdout).toMatch(/alpine +3 +sha256:d{64} +d{12} /);
  });

  it("prints ids alone with --quiet, one an image", async () => {
    expect(await idsOf()).toEqual([D, A, B]);
    expect(await idsOf("--no-trunc")).toEqual(["d", "a", "b"].map(digestOfDigit));
  });

  it("prints all that is known with --json", async () => {
    const { stdout } = await ls("--json");
    const [, image] = JSON.parse(stdout);
    expect(image).toEqual(three().images[1]);
  });

  it.each([
    ["reference=python", [A]],
    ["reference=python:3.1?", []],
    ["reference=python:3.*", [A]],
    ["reference=*", [D, A]],
    ["reference=registry.example:5000/**", [A]],
    ["reference=docker.io/library/alpine:3", [D]],
    ["dangling=true", [B]],
    ["dangling=false", [D, A]],
    ["label=team", [A, B]],
    ["label=team=blue", [A, B]],
    ["label=team=", []],
    ["label=toString", []],
  ])("--filter %s", async (filter, ids) => {
    expect(await idsOf("--filter", filter)).toEqual(ids.length === 0 ? [""] : ids);
  });

  it("shows what fulfils every filter", async () => {
    expect(await idsOf("-f", "label=team", "-f", "dangling=false")).toEqual([A]);
  });
});
