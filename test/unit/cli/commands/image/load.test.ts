import { describe, expect, it } from "vitest";
import { stopReason } from "../../../../../src/cli/error-report.js";
import { cli } from "../../../../helpers/cli.js";
import { fakeImage, FakeImages } from "../../../../helpers/fake-images.js";

describe("image load", () => {
  it.each([[["image", "load"]], [["image", "load", "-"]]])(
    "%j reads standard input",
    async (args) => {
      const { exitCode, stdout, images } = await cli(args, { stdin: "tar" });
      expect(images.calls[0]?.args[0]).toBe("tar");
      expect(stdout).toBe("Loaded python:3.12 (aaaaaaaaaaaa): 1 layer, 30 MB, disk 81 MB\n");
      expect(exitCode).toBe(0);
    },
  );

  it("refuses a terminal as standard input", async () => {
    const { exitCode, stderr, images } = await cli(["image", "load"], { terminals: ["stdin"] });
    expect(stderr).toMatch(/^msb-ts: Standard input is a terminal: name a file/);
    expect(images.calls).toEqual([]);
    expect(exitCode).toBe(2);
  });

  it("takes a path, whatever standard input is, and passes on what was asked", async () => {
    const { stdout, images } = await cli(
      ["image", "load", "./x.tar", "--name", "team/app:v2", "--platform", "linux/arm64"],
      { terminals: ["stdin"] },
    );
    expect(stdout).toMatch(/^Loaded team\/app:v2 \(aaaaaaaaaaaa\): /);
    expect(images.calls[0]?.args).toMatchObject([
      "./x.tar",
      { name: "team/app:v2", platform: "linux/arm64" },
    ]);
  });

  it("names an image without a name by its digest", async () => {
    const images = new FakeImages();
    images.images = [fakeImage({ names: [], disk: null })];
    const { stdout } = await cli(["image", "load", "x"], { images });
    expect(stdout).toBe("Loaded aaaaaaaaaaaa: 1 layer, 30 MB\n");
  });

  it("prints the images as one document with --json", async () => {
    const { stdout } = await cli(["image", "load", "--json"], { stdin: "tar" });
    expect(JSON.parse(stdout)).toEqual([fakeImage()]);
  });

  it("stops while it waits for more input", async () => {
    const stop = new AbortController();
    const images = new FakeImages();
    const running = cli(["image", "load"], { images, signal: stop.signal });
    stop.abort(stopReason("SIGTERM"));
    const { exitCode, stderr } = await running;
    expect(stderr).toBe("msb-ts: Stopped by SIGTERM. (MSB_ERR_ABORTED)\n");
    expect(exitCode).toBe(143);
  });
});
