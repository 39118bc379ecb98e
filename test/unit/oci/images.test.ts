import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { MsbError } from "../../../src/errors.js";
import { type Digest, hexOf } from "../../../src/oci/digest.js";
import { Images, type OpenImagesOpts } from "../../../src/oci/images.js";
import { parseReference } from "../../../src/oci/reference.js";
import { ImageStore } from "../../../src/oci/store/image-store.js";
import { msbPaths } from "../../../src/paths.js";
import { EMPTY_SETTINGS } from "../../../src/settings.js";
import { deferred } from "../../../src/util/async.js";
import {
  HOST_ARCHITECTURE,
  makeImage,
  type MadeImage,
  MemoryRegistry,
  storeImage,
} from "../../helpers/memory-registry.js";
import { tempDir } from "../../helpers/temp-dir.js";

const NAME = "docker.io/library/python:latest";
const RECIPE = "docker.io/msb-ts/python:latest";
const OTHER_ARCHITECTURE = HOST_ARCHITECTURE === "amd64" ? "arm64" : "amd64";

async function fixture(opts: OpenImagesOpts = {}) {
  const paths = msbPaths(await tempDir());
  const registry = new MemoryRegistry();
  const common = { paths, env: {}, settings: EMPTY_SETTINGS, openSource: () => registry };
  const open = (): Promise<Images> => Images.open({ ...common, ...opts });
  const store = await ImageStore.open(paths);
  const put = async (name: string, image: MadeImage): Promise<void> => {
    await storeImage(store, image);
    await store.tag(parseReference(name), image.manifest);
  };
  return { paths, registry, store, images: await open(), open, put };
}

const one = makeImage({ layers: ["one"] });
const two = makeImage({ layers: ["two"] });

describe("pull", () => {
  test("downloads the image and makes its disk, also of one that is here", async () => {
    const { images, registry, store } = await fixture();
    registry.push(NAME, one);
    const pulled = await images.pull("python");
    expect(pulled).toMatchObject({ digest: one.manifest.digest, names: [NAME] });
    expect((await stat(pulled.disk.path)).size).toBe(pulled.disk.sizeBytes);
    expect(await store.load(one.manifest)).toEqual(pulled);
    registry.push(NAME, two);
    expect((await images.pull("python")).digest).toBe(two.manifest.digest);
  });

  test("is one for all who want it, of whatever opener", async () => {
    const { images, open, registry } = await fixture();
    registry.push(NAME, one);
    const other = await open();
    const [a, b] = await Promise.all([images.pull("python"), other.pull(NAME)]);
    expect(a).toEqual(b);
    expect(registry.requests.filter((request) => request.startsWith("manifest"))).toHaveLength(1);
  });

  test("brings a spoilt layer again that its reader chokes on", async () => {
    const { images, registry, store } = await fixture();
    registry.push(NAME, one);
    const { disk } = await images.pull("python");
    const [layer] = one.layers;
    for (const content of [Buffer.alloc(layer!.size, "x"), Buffer.alloc(0)]) {
      await writeFile(store.blobs.pathOf(layer!.digest), content);
      const before = await readFile(disk.path);
      await rm(disk.path, { force: true });
      registry.requests.length = 0;
      expect((await images.ensure("python")).disk).toEqual(disk);
      expect(registry.requests).toEqual([`blob ${layer!.digest}@0`]);
      expect(await readFile(disk.path)).toEqual(before);
    }
  });

  test("of an image that was made wrong fails once, and keeps nothing booting it", async () => {
    const { images, registry } = await fixture();
    const rootfs = { type: "layers", diff_ids: two.diffIds };
    registry.push(NAME, makeImage({ layers: ["one"], configPatch: { rootfs } }));
    await expect(images.pull("python")).rejects.toMatchObject({ code: "MSB_ERR_DIGEST_MISMATCH" });
    expect(registry.requests).toHaveLength(3);
  });

  test("asks no registry for images that are built here, nor for a digest alone", async () => {
    const { images, registry } = await fixture();
    await expect(images.pull("msb-ts/python")).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_NOT_FOUND",
      message: expect.stringContaining("image build python"),
    });
    for (const name of [one.manifest.digest, hexOf(one.manifest.digest)]) {
      await expect(images.pull(name)).rejects.toMatchObject({ code: "MSB_ERR_INVALID_REFERENCE" });
    }
    expect(registry.requests).toEqual([]);
  });

  test("ends when the images are closed, and waits for that", async () => {
    const { images, registry, paths } = await fixture();
    registry.push(NAME, one);
    let isClosed = false;
    registry[Symbol.asyncDispose] = async () => void (isClosed = true);
    const asked = deferred<void>();
    registry.onBlob = async () => {
      asked.resolve();
      await new Promise<never>(() => {});
    };
    const pulling = images.pull("python");
    const failure = pulling.catch((error: unknown) => error);
    await asked.promise;
    await images[Symbol.asyncDispose]();
    expect(isClosed).toBe(true);
    expect(await readdir(paths.imagePinRoot)).toEqual([]);
    expect(await failure).toMatchObject({ code: "MSB_ERR_ABORTED" });
  });
});

describe("ensure", () => {
  test("pulls what is not here, and asks nobody for what is", async () => {
    const { images, registry } = await fixture();
    registry.push(NAME, one);
    const first = await images.ensure("python");
    expect(first.digest).toBe(one.manifest.digest);
    registry.push(NAME, two);
    registry.requests.length = 0;
    expect(await images.ensure("python")).toEqual(first);
    expect(registry.requests).toEqual([]);
    expect((await images.ensure("python", { pullPolicy: "always" })).digest).toBe(
      two.manifest.digest,
    );
  });

  test("keeps what it gave from every prune for as long as the caller holds it", async () => {
    const { images, open, registry } = await fixture();
    registry.push(NAME, one);
    const other = await open();
    // Pulled, then found.
    for (let time = 0; time < 2; time++) {
      const pin = await images.hold();
      const { disk } = await images.ensure("python", { pin });
      expect((await other.prune({ all: true })).digests).toEqual([]);
      expect((await stat(disk.path)).size).toBe(disk.sizeBytes);
      await pin[Symbol.asyncDispose]();
    }
    expect((await other.prune({ all: true })).digests).toEqual([one.manifest.digest]);
  });

  test("brings again what was pruned between the end of another's pull and the hold of who joined it", async () => {
    const { images, open, registry } = await fixture();
    registry.push(NAME, one);
    const other = await open();
    const third = await open();
    await using pin = await images.hold();
    const add = pin.add.bind(pin);
    const pruned: string[] = [];
    pin.add = async (...digests) => {
      if (pruned.length === 0) pruned.push(...(await third.prune({ all: true })).digests);
      await add(...digests);
    };
    const [, { digest, disk }] = await Promise.all([
      other.pull("python"),
      images.ensure("python", { pin }),
    ]);
    expect(pruned).toEqual([one.manifest.digest]);
    expect(digest).toBe(one.manifest.digest);
    expect((await stat(disk.path)).size).toBe(disk.sizeBytes);
  });

  test("never pulls when told so, by option or variable", async () => {
    const { images, registry } = await fixture();
    registry.push(NAME, one);
    const never = {
      code: "MSB_ERR_IMAGE_NOT_FOUND",
      message: expect.stringContaining("pullPolicy"),
    };
    await expect(images.ensure("python", { pullPolicy: "never" })).rejects.toMatchObject(never);
    const byEnv = await fixture({ env: { MSB_PULL_POLICY: "never" } });
    await expect(byEnv.images.ensure("python")).rejects.toMatchObject(never);
    expect(registry.requests).toEqual([]);
    await expect(
      images.ensure("python", { pullPolicy: "sometimes" as "never" }),
    ).rejects.toMatchObject({ code: "MSB_ERR_INVALID_ARGUMENT" });
  });

  test("names the recipe when no registry can be reached, for what has one", async () => {
    const { images, registry } = await fixture();
    registry.getManifest = async () => {
      throw new MsbError("MSB_ERR_REGISTRY_UNAVAILABLE", "It is far.", { details: { host: "a" } });
    };
    await expect(images.ensure("python")).rejects.toMatchObject({
      code: "MSB_ERR_REGISTRY_UNAVAILABLE",
      message: expect.stringMatching(/^It is far\. .*`msb-ts image build python`/) as string,
      details: { host: "a" },
    });
    await expect(images.ensure("alpine")).rejects.toMatchObject({ message: "It is far." });
  });

  test.each(["python", "microsandbox/python"])(
    "takes %s to be the recipe's image if there is one, else the official one",
    async (alias) => {
      const { images, registry, put } = await fixture();
      registry.push(NAME, one);
      expect((await images.ensure(alias)).names).toEqual([NAME]);
      await put("msb-ts/python", two);
      expect((await images.ensure(alias)).names).toEqual([RECIPE]);
      expect((await images.ensure(alias, { pullPolicy: "always" })).names).toEqual([RECIPE]);
      expect((await images.inspect(alias)).names).toEqual([RECIPE]);
      // With a tag it is no alias.
      expect((await images.ensure("python:latest")).names).toEqual([NAME]);
    },
  );

  test("follows the aliases of the settings", async () => {
    const imageAliases = { python: "registry.example/py:3", mine: "python:3.12" };
    const settings = { ...EMPTY_SETTINGS, imageAliases, defaultRegistry: "mirror.example" };
    const { images, registry, put } = await fixture({ settings });
    await put("msb-ts/python", two);
    registry.push("registry.example/py:3", one);
    registry.push("mirror.example/python:3.12", one);
    expect((await images.ensure("python")).names).toEqual(["registry.example/py:3"]);
    const both = ["mirror.example/python:3.12", "registry.example/py:3"];
    expect((await images.ensure("mine")).names).toEqual(both);
    await expect(images.ensure("constructor")).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_NOT_FOUND",
    });
  });

  test("does not take an image for another platform", async () => {
    const { images, registry, put } = await fixture();
    await put("python", makeImage({ architecture: OTHER_ARCHITECTURE }));
    registry.push(NAME, one);
    const platform = `linux/${OTHER_ARCHITECTURE}`;
    expect((await images.ensure("python", { platform })).platform).toMatchObject({
      architecture: OTHER_ARCHITECTURE,
    });
    expect((await images.ensure("python")).digest).toBe(one.manifest.digest);
  });

  test("takes a digest for what is here, and never a name for the digits of one", async () => {
    const { images, registry, put } = await fixture();
    await put("python", one);
    const { digest } = one.manifest;
    expect((await images.ensure(digest)).digest).toBe(digest);
    expect((await images.ensure(digest.slice(0, 15))).digest).toBe(digest);
    await expect(images.ensure(two.manifest.digest)).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_NOT_FOUND",
    });
    await expect(images.ensure(hexOf(digest).slice(0, 8))).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_NOT_FOUND",
    });
    expect(registry.requests).toHaveLength(1);
  });
});

describe("images by hand", () => {
  test("are looked at, named, and removed", async () => {
    const { images, put } = await fixture();
    await put("python", one);
    const inspected = await images.inspect("python:latest");
    expect(inspected.manifest.layers).toEqual(one.layers);
    expect(inspected.rawConfig.rootfs.diff_ids).toEqual(one.diffIds);
    expect((await images.inspect(hexOf(inspected.digest).slice(0, 6))).digest).toBe(
      inspected.digest,
    );
    const tagged = await images.tag("python", "localhost:5000/mine:1");
    expect(tagged.names).toEqual([NAME, "localhost:5000/mine:1"]);
    await expect(images.tag("python", `mine@${one.manifest.digest}`)).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_REFERENCE",
    });
    await expect(images.tag("nothing", "mine")).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_NOT_FOUND",
    });
    expect((await images.remove(["localhost:5000/mine:1"])).digests).toEqual([]);
    expect((await images.remove(["python"])).digests).toEqual([one.manifest.digest]);
    expect(await images.list()).toEqual([]);
  });

  test("are removed by the name under which they are looked at, also an alias or one like digits", async () => {
    const { images, put } = await fixture();
    await put("msb-ts/python", one);
    await put("python", two);
    await put("cafe", one);
    expect((await images.inspect("python")).names).toContain(RECIPE);
    expect((await images.remove(["python"])).names).toEqual([RECIPE]);
    expect((await images.inspect("python")).names).toEqual([NAME]);
    expect((await images.remove(["python"])).names).toEqual([NAME]);
    await expect(images.inspect("python")).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_NOT_FOUND",
    });
    await expect(images.remove(["python"])).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_NOT_FOUND",
    });
    expect((await images.remove(["cafe"])).digests).toEqual([one.manifest.digest]);
  });

  test("stay while a sandbox uses them", async () => {
    const inUse = new Set<Digest>([one.manifest.digest]);
    const { images, put } = await fixture({ inUse: async () => inUse });
    await put("python", one);
    await put("node", two);
    expect((await images.prune({ all: true })).digests).toEqual([two.manifest.digest]);
    await expect(images.remove(["python"])).rejects.toMatchObject({ code: "MSB_ERR_IMAGE_IN_USE" });
    inUse.clear();
    expect((await images.prune({ all: true })).names).toEqual([NAME]);
  });

  test("go out to an archive and come in again as they were", async () => {
    const from = await fixture();
    await from.put("python", one);
    await from.put("node:22", two);
    const path = join(from.paths.home, "images.tar");
    await from.images.save(["python", "node:22", one.manifest.digest], path);
    const to = await fixture();
    const loaded = await to.images.load(path);
    const found = loaded.map(({ digest, names }) => [digest, names]);
    expect(new Map(found as [string, string[]][])).toEqual(
      new Map([
        [one.manifest.digest, [NAME]],
        [two.manifest.digest, ["docker.io/library/node:22"]],
      ]),
    );
    expect(await readdir(to.paths.imagePinRoot)).toEqual([]);
    await expect(to.images.load(path, { name: "mine" })).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
    });
    await from.images.save([one.manifest.digest], path);
    const [renamed] = await to.images.load(path, { name: "mine:1" });
    expect(renamed!.names).toEqual(["docker.io/library/mine:1", NAME]);
  });
});
