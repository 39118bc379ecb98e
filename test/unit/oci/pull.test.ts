import { readdir, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { MsbError } from "../../../src/errors.js";
import { MediaType, type Platform } from "../../../src/oci/manifest.js";
import { pullImage, type PullOpts } from "../../../src/oci/pull.js";
import { parseReference } from "../../../src/oci/reference.js";
import { ImageStore } from "../../../src/oci/store/image-store.js";
import { msbPaths } from "../../../src/paths.js";
import { deferred } from "../../../src/util/async.js";
import type { Progress } from "../../../src/util/progress.js";
import { someBytes } from "../../helpers/blobs.js";
import { makeImage, MemoryRegistry } from "../../helpers/memory-registry.js";
import { tempDir } from "../../helpers/temp-dir.js";

const amd64: Platform = { os: "linux", architecture: "amd64" };
const python = parseReference("python");
const name = "docker.io/library/python:latest";

async function fixture() {
  const paths = msbPaths(await tempDir());
  const retry = { attempts: 2, baseDelayMs: 1, maxDelayMs: 1 };
  const store = await ImageStore.open(paths, { retry });
  const registry = new MemoryRegistry();
  const pull = async (opts: Partial<PullOpts> = {}) => {
    await using pin = await store.pin();
    return await pullImage(python, { source: registry, store, platform: amd64, pin, ...opts });
  };
  return { paths, store, registry, pull };
}

const image = makeImage({ architecture: "amd64", layers: ["one", "two", "three", "four", "five"] });

describe("a pull", () => {
  test("brings manifest, config and every layer once, and names the image", async () => {
    const { store, registry, pull } = await fixture();
    registry.push(name, image);
    const info = await pull();
    expect(info).toMatchObject({ digest: image.manifest.digest, names: [name] });
    const { config, layers } = image;
    const blobs = [config, ...layers].map(({ digest }) => `blob ${digest}@0`);
    expect(registry.requests.toSorted()).toEqual([...blobs, `manifest ${name}`].toSorted());
    expect(await store.list()).toEqual([info]);
    registry.requests.length = 0;
    expect(await pull()).toMatchObject({ digest: info.digest });
    expect(registry.requests).toEqual([`manifest ${name}`]);
  });

  test("goes through indexes to the platform that is wanted", async () => {
    const { registry, pull } = await fixture();
    const arm = makeImage({ architecture: "arm64" });
    registry.push(name, arm, image);
    expect((await pull()).digest).toBe(image.manifest.digest);
    const platform = { os: "linux", architecture: "arm64" };
    expect((await pull({ platform })).digest).toBe(arm.manifest.digest);
    await expect(pull({ platform: { os: "linux", architecture: "s390x" } })).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_PLATFORM",
    });
  });

  test("refuses an image that its config says is for another platform", async () => {
    const { registry, pull, store } = await fixture();
    registry.push(name, makeImage({ architecture: "arm64" }));
    await expect(pull()).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_PLATFORM",
      message: expect.stringContaining("linux/arm64"),
    });
    expect(await store.list()).toEqual([]);
  });

  test("of a name that moved leaves the old image without one", async () => {
    const { registry, pull, store } = await fixture();
    registry.push(name, makeImage({ architecture: "amd64", layers: ["old"] }));
    await pull();
    registry.push(name, image);
    await pull();
    expect((await store.list()).map(({ names }) => names)).toEqual([[name], []]);
  });

  test("that cannot be prepared leaves the name with the image that had it", async () => {
    const { registry, pull, store } = await fixture();
    registry.push(name, image);
    const first = await pull();
    const next = makeImage({ architecture: "amd64", layers: ["next"] });
    registry.push(name, next);
    const unsafe = new MsbError("MSB_ERR_UNSAFE_LAYER", "no");
    const prepare = () => Promise.reject(unsafe);
    await expect(pull({ prepare })).rejects.toBe(unsafe);
    expect((await store.find("python"))?.digest).toBe(first.digest);
    expect((await pull()).digest).toBe(next.manifest.digest);
  });

  test("asks for at most so many layers at a time", async () => {
    const { registry, pull } = await fixture();
    registry.push(name, image);
    const both = deferred<void>();
    let now = 0;
    registry.onBlob = async (digest) => {
      if (digest === image.config.digest) return;
      expect(++now).toBeLessThanOrEqual(2);
      if (now === 2) both.resolve();
      await both.promise;
      now--;
    };
    await pull({ parallelLayers: 2 });
  });

  test("fetches a spoilt config and a spoilt manifest again", async () => {
    const { registry, pull, store } = await fixture();
    registry.push(name, image);
    await pull();
    for (const { digest, size } of [image.config, image.manifest]) {
      await writeFile(store.blobs.pathOf(digest), Buffer.alloc(size, "x"));
      expect((await pull()).digest).toBe(image.manifest.digest);
      expect(await store.blobs.read({ digest, size })).toEqual(image.blobs.get(digest));
    }
  });

  test("asks the registry itself when a mirror lied", async () => {
    const { registry, pull } = await fixture();
    registry.push(name, image);
    const [layer] = image.layers;
    registry.lies.set(layer!.digest, { bytes: someBytes(layer!.size), mirrorOnly: true });
    expect((await pull()).digest).toBe(image.manifest.digest);
  });

  test("that fails at a layer ends the others, and leaves no image but what it has", async () => {
    const { registry, pull, store, paths } = await fixture();
    registry.push(name, image);
    const [, bad] = image.layers;
    registry.lies.set(bad!.digest, { bytes: someBytes(bad!.size), mirrorOnly: false });
    await expect(pull()).rejects.toMatchObject({ code: "MSB_ERR_DIGEST_MISMATCH" });
    expect(await store.list()).toEqual([]);
    await store.prune({ all: false });
    expect(await readdir(paths.imageBlobFolder("sha256"))).toEqual([]);
    expect(await readdir(paths.imagePartialRoot)).toEqual([]);
    registry.lies.clear();
    expect((await pull()).digest).toBe(image.manifest.digest);
  });

  test("can be aborted, and ends what is under way", async () => {
    const { registry, pull, store } = await fixture();
    registry.push(name, image);
    const controller = new AbortController();
    registry.onBlob = async (digest) => {
      if (digest === image.layers[2]!.digest) controller.abort();
    };
    await expect(pull({ signal: controller.signal })).rejects.toMatchObject({
      code: "MSB_ERR_ABORTED",
    });
    expect(await store.list()).toEqual([]);
  });

  test("is not disturbed by a prune at any moment", async () => {
    const { registry, pull, store } = await fixture();
    registry.push(name, image);
    registry.onBlob = async () => {
      expect((await store.prune({ all: true })).digests).toEqual([]);
    };
    const info = await pull();
    expect(await store.damagedLayers(info)).toEqual([]);
  });

  test("tells of each of its tasks from beginning to end", async () => {
    const { registry, pull } = await fixture();
    registry.push(name, image);
    const last = new Map<string, Progress>();
    await pull({ onProgress: (progress) => last.set(progress.id, progress) });
    expect([...last.values()].map(({ label, state }) => `${label} ${state}`).toSorted()).toEqual(
      [
        "python:latest done",
        "config done",
        ...image.layers.map(({ digest }) => `layer ${digest.slice(7, 19)} done`),
      ].toSorted(),
    );
  });
});

describe("what is no image to start is refused before its layers are fetched", () => {
  const index = (digest: string, size: number) => ({
    schemaVersion: 2,
    mediaType: MediaType.ociIndex,
    manifests: [{ mediaType: MediaType.ociIndex, digest, size }],
  });

  test("an artifact", async () => {
    const { registry, pull } = await fixture();
    const layers = [{ ...image.layers[0]!, mediaType: "application/vnd.example.chart" }];
    registry.push(name, makeImage({ architecture: "amd64", manifestPatch: { layers } }));
    await expect(pull()).rejects.toMatchObject({ code: "MSB_ERR_IMAGE_INVALID" });
    expect(registry.requests).toEqual([`manifest ${name}`]);
  });

  test("a config that does not fit the layers", async () => {
    const { registry, pull } = await fixture();
    const odd = makeImage({ architecture: "amd64", manifestPatch: { layers: image.layers } });
    registry.push(name, odd);
    await expect(pull()).rejects.toMatchObject({ code: "MSB_ERR_IMAGE_INVALID" });
    expect(registry.requests).toHaveLength(2);
  });

  test("a config that is too large", async () => {
    const { registry, pull } = await fixture();
    const config = { ...image.config, size: 2 ** 40 };
    registry.push(name, makeImage({ architecture: "amd64", manifestPatch: { config } }));
    await expect(pull()).rejects.toMatchObject({ code: "MSB_ERR_IMAGE_LIMIT" });
    expect(registry.requests).toHaveLength(1);
  });

  test("indexes of indexes of indexes", async () => {
    const { registry, pull } = await fixture();
    let descriptor = registry.push("x", image);
    for (let depth = 0; depth < 3; depth++) {
      descriptor = registry.pushDocument(index(descriptor.digest, descriptor.size));
    }
    registry.names.set(name, descriptor.digest);
    await pull();
    descriptor = registry.pushDocument(index(descriptor.digest, descriptor.size));
    registry.names.set(name, descriptor.digest);
    await expect(pull()).rejects.toMatchObject({ code: "MSB_ERR_IMAGE_INVALID" });
  });
});
