import { describe, expect, it } from "vitest";
import { stopReason } from "../../../../../src/cli/error-report.js";
import type { OnProgress } from "../../../../../src/util/progress.js";
import { cli } from "../../../../helpers/cli.js";
import { digestOfDigit, fakeImage, FakeImages, notFound } from "../../../../helpers/fake-images.js";

function withProgressOf(images: FakeImages): FakeImages {
  images.before["pull"] = async (_name, opts) => {
    const { onProgress } = opts as { onProgress: OnProgress };
    const task = { id: "layer sha256:1", label: "layer 111111", totalBytes: 30e6 };
    onProgress({ ...task, state: "waiting", doneBytes: 0 });
    onProgress({ ...task, state: "running", doneBytes: 0 });
    onProgress({ ...task, state: "done", doneBytes: 30e6 });
  };
  return images;
}

/** `bad` is not there. */
function withoutBad(): FakeImages {
  const images = new FakeImages();
  images.before["pull"] = async (name) => {
    if (String(name).startsWith("bad")) throw notFound(String(name));
  };
  return images;
}

describe("image pull", () => {
  it("says what it has pulled, and how far it is in lines when nobody watches", async () => {
    const { exitCode, stdout, stderr } = await cli(["image", "pull", "python:3.12"], {
      images: withProgressOf(new FakeImages()),
    });
    expect(stdout).toBe("Pulled python:3.12 (aaaaaaaaaaaa): 1 layer, 30 MB, disk 81 MB\n");
    expect(stderr).toBe("layer 111111: started, 30 MB\nlayer 111111: done, 30 MB\n");
    expect(exitCode).toBe(0);
  });

  it("passes on what was asked, and nothing that was not", async () => {
    const { images } = await cli(["image", "pull", "a"]);
    expect(images.calls[0]?.args[0]).toBe("a");
    expect(Object.keys(images.calls[0]?.args[1] ?? {}).toSorted()).toEqual([
      "onProgress",
      "signal",
    ]);
    const all = await cli(["image", "pull", "a", "--platform", "linux/arm64", "--plain-http"]);
    expect(all.images.calls[0]?.args[1]).toMatchObject({
      platform: "linux/arm64",
      plainHttp: true,
    });
  });

  it("prints only digests with --quiet", async () => {
    const { stdout, stderr } = await cli(["image", "pull", "-q", "a", "b"], {
      images: withProgressOf(new FakeImages()),
    });
    expect(stdout).toBe(`${digestOfDigit("a")}\n${digestOfDigit("a")}\n`);
    expect(stderr).toBe("");
  });

  it("prints the images as one document with --json, and no progress for a program", async () => {
    const { stdout, stderr } = await cli(["image", "pull", "--json", "a", "b"], {
      images: withProgressOf(new FakeImages()),
    });
    expect(JSON.parse(stdout)).toEqual([fakeImage(), fakeImage()]);
    expect(stderr).toBe("");
  });

  it("pulls a name once, however often it is given", async () => {
    const { images } = await cli(["image", "pull", "a", "b", "a"]);
    expect(images.calls.map(({ args }) => args[0])).toEqual(["a", "b"]);
  });

  it("goes on after a name that fails, and fails", async () => {
    const { exitCode, stdout, stderr } = await cli(["image", "pull", "bad1", "good", "bad2"], {
      images: withoutBad(),
    });
    expect(stdout).toMatch(/^Pulled good \(aaaaaaaaaaaa\)/);
    expect(stderr.trimEnd().split("\n")).toEqual([
      "msb-ts: There is no image bad1. (MSB_ERR_IMAGE_NOT_FOUND)",
      "msb-ts: There is no image bad2. (MSB_ERR_IMAGE_NOT_FOUND)",
    ]);
    expect(exitCode).toBe(66);
  });

  it("has no document when nothing succeeded, and an error a line", async () => {
    const { exitCode, stdout, stderr } = await cli(["image", "pull", "--json", "bad1", "bad2"], {
      images: withoutBad(),
    });
    expect(stdout).toBe("");
    const errors = stderr.trimEnd().split("\n");
    expect(errors.map((line) => JSON.parse(line).error.details.name)).toEqual(["bad1", "bad2"]);
    expect(exitCode).toBe(66);
  });

  it("ends with the name at which it was stopped", async () => {
    const stop = new AbortController();
    const images = new FakeImages();
    images.before["pull"] = async (_name, opts) => {
      expect((opts as { signal: AbortSignal }).signal).toBe(stop.signal);
      stop.abort(stopReason("SIGINT"));
      stop.signal.throwIfAborted();
    };
    const { exitCode, stdout, stderr } = await cli(["image", "pull", "a", "b"], {
      images,
      signal: stop.signal,
    });
    expect(images.calls).toHaveLength(1);
    expect([stdout, stderr]).toEqual(["", "msb-ts: Stopped by SIGINT. (MSB_ERR_ABORTED)\n"]);
    expect(exitCode).toBe(130);
  });
});
