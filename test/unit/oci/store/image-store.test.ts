import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { FileLock } from "../../../../src/native/file-lock.js";
import { type Digest, hexOf } from "../../../../src/oci/digest.js";
import { imageDiskKey } from "../../../../src/oci/image-disk.js";
import { parseReference } from "../../../../src/oci/reference.js";
import { ImageStore } from "../../../../src/oci/store/image-store.js";
import { type MsbPaths, msbPaths } from "../../../../src/paths.js";
import { tempName } from "../../../../src/util/atomic-file.js";
import { chunked } from "../../../helpers/blobs.js";
import { makeImage, type MadeImage, storeImage } from "../../../helpers/memory-registry.js";
import { tempDir } from "../../../helpers/temp-dir.js";

interface Fixture {
  readonly store: ImageStore;
  readonly paths: MsbPaths;
  readonly warnings: string[];
  /** Stores the image under the name. */
  put(name: string | null, image: MadeImage): Promise<MadeImage>;
  /** Digests of all blobs. */
  digests(): Promise<Set<string>>;
}

async function fixture(): Promise<Fixture> {
  const paths = msbPaths(await tempDir());
  const warnings: string[] = [];
  const store = await ImageStore.open(paths, { onWarning: (message) => warnings.push(message) });
  return {
    store,
    paths,
    warnings,
    put: async (name, image) => {
      await storeImage(store, image);
      if (name !== null) await store.tag(parseReference(name), image.manifest);
      return image;
    },
    digests: async () => {
      const names = await readdir(paths.imageBlobFolder("sha256")).catch(() => []);
      return new Set(names.map((name) => `sha256:${name}`));
    },
  };
}

const all = (image: MadeImage): Set<string> => new Set(image.blobs.keys());
const python = "docker.io/library/python:latest";

async function makeDisk(paths: MsbPaths, image: MadeImage): Promise<string> {
  const path = paths.imageDisk(imageDiskKey(image.diffIds));
  await mkdir(paths.imageDiskRoot, { recursive: true });
  await writeFile(path, "disk");
  return path;
}

describe("an image in the store", () => {
  test("is what its documents say, with every default", async () => {
    const { store, paths, put } = await fixture();
    const image = await put("python", makeImage({ layers: ["a", "b"] }));
    const info = await store.load(image.manifest.digest);
    expect(info).toEqual({
      digest: image.manifest.digest,
      names: [python],
      platform: { os: "linux", architecture: expect.any(String) },
      layers: image.layers.map((descriptor, index) => ({
        descriptor,
        diffId: image.diffIds[index],
      })),
      storedBytes: [...image.blobs.values()].reduce((sum, { length }) => sum + length, 0),
      disk: null,
      createdAt: null,
      taggedAt: expect.stringMatching(/^\d{4}-.*Z$/),
      config: {
        user: "",
        env: [],
        entrypoint: [],
        cmd: [],
        workingDir: "/",
        labels: {},
        exposedPorts: [],
        stopSignal: null,
      },
    });
    const path = await makeDisk(paths, image);
    expect((await store.load(image.manifest)).disk).toEqual({ path, sizeBytes: 4 });
  });

  test("keeps what its maker said", async () => {
    const { store, put } = await fixture();
    const config = {
      User: "1000:users",
      Env: ["PATH=/bin", "A=1"],
      Entrypoint: ["/init"],
      Cmd: ["sh"],
      WorkingDir: "srv//app/",
      Labels: { a: "b" },
      ExposedPorts: { "8080/tcp": {}, "53/udp": {} },
      StopSignal: "SIGINT",
    };
    const configPatch = { created: "2024-05-06T07:08:09.123456789+02:00", variant: "v2" };
    const image = await put(null, makeImage({ config, configPatch }));
    expect(await store.load(image.manifest)).toMatchObject({
      names: [],
      taggedAt: null,
      platform: { variant: "v2" },
      createdAt: "2024-05-06T05:08:09.123Z",
      config: {
        user: "1000:users",
        env: ["PATH=/bin", "A=1"],
        entrypoint: ["/init"],
        cmd: ["sh"],
        workingDir: "/srv/app",
        labels: { a: "b" },
        exposedPorts: ["53/udp", "8080/tcp"],
        stopSignal: "SIGINT",
      },
    });
  });

  test("counts a layer that it has twice once", async () => {
    const { store, put } = await fixture();
    const { layers, diffIds } = makeImage();
    const rootfs = { type: "layers", diff_ids: [...diffIds, ...diffIds] };
    const manifestPatch = { layers: [...layers, ...layers] };
    const image = await put("python", makeImage({ configPatch: { rootfs }, manifestPatch }));
    const info = await store.load(image.manifest);
    expect(info.layers).toHaveLength(2);
    expect(info.storedBytes).toBe(image.manifest.size + image.config.size + layers[0]!.size);
  });

  test("cannot be named before it is whole", async () => {
    const { store } = await fixture();
    const image = makeImage({ layers: ["a", "b"] });
    const ref = parseReference("python");
    for (const { digest, mediaType } of [image.manifest, image.config, ...image.layers]) {
      await expect(store.tag(ref, image.manifest)).rejects.toMatchObject({
        code: "MSB_ERR_IMAGE_NOT_FOUND",
      });
      await store.blobs.putBytes(image.blobs.get(digest)!, mediaType);
    }
    await store.tag(ref, image.manifest);
    expect((await store.list()).map(({ names }) => names)).toEqual([[python]]);
  });
});

describe("images are found", () => {
  test("by every spelling of their name, by digest, and by its first digits", async () => {
    const { store, put } = await fixture();
    const image = await put("python:3.12", makeImage());
    const { digest } = image.manifest;
    const hex = hexOf(digest);
    const spellings = ["python:3.12", "library/python:3.12", "docker.io/library/python:3.12"];
    for (const text of [...spellings, digest, hex, hex.slice(0, 4), `sha256:${hex.slice(0, 9)}`]) {
      expect((await store.find(text))?.digest).toBe(digest);
    }
    for (const text of ["python", "python:3.11", hex.slice(0, 3), `sha512:${hex.slice(0, 9)}`]) {
      expect(await store.find(text)).toBeUndefined();
    }
    expect(await store.find(hexOf(image.config.digest))).toBeUndefined();
    expect(await store.find(image.config.digest)).toBeUndefined();
  });

  test("by a name that looks like digits before the digits", async () => {
    const { store, put } = await fixture();
    const [one, two] = [makeImage({ layers: ["1"] }), makeImage({ layers: ["2"] })];
    await put(hexOf(one.manifest.digest).slice(0, 6), two);
    await put(null, one);
    const found = await store.find(hexOf(one.manifest.digest).slice(0, 6));
    expect(found?.digest).toBe(two.manifest.digest);
  });

  test("not by digits that two have", async () => {
    const { store, put } = await fixture();
    const byStart = new Map<string, MadeImage>();
    for (let seed = 0; ; seed++) {
      const image = makeImage({ layers: [], configPatch: { author: `${seed}` } });
      const start = hexOf(image.manifest.digest).slice(0, 4);
      const other = byStart.get(start);
      byStart.set(start, image);
      if (other === undefined) continue;
      await put("one", image);
      await put("two", other);
      await expect(store.find(start)).rejects.toMatchObject({
        code: "MSB_ERR_INVALID_REFERENCE",
        details: { matches: expect.arrayContaining([image.manifest.digest]) },
      });
      return;
    }
  });

  test("not when they are spoilt, and again when they were brought again", async () => {
    const { store, put, warnings } = await fixture();
    const image = makeImage();
    for (const { digest } of [image.manifest, image.config]) {
      for (const content of ["spoilt", "{}", " ".repeat(image.blobs.get(digest)!.length)]) {
        await put("python", image);
        await writeFile(store.blobs.pathOf(digest), content);
        expect(await store.find("python")).toBeUndefined();
        expect(await store.list()).toEqual([]);
        await expect(store.load(image.manifest)).rejects.toMatchObject({
          code: "MSB_ERR_IMAGE_NOT_FOUND",
        });
      }
    }
    await put("python", image);
    expect((await store.list()).map(({ digest }) => digest)).toEqual([image.manifest.digest]);
    expect(warnings).toEqual([expect.stringContaining(image.manifest.digest)]);
  });
});

describe("names", () => {
  test("move from image to image, and are listed in their order", async () => {
    const { store, put } = await fixture();
    const [one, two] = [makeImage({ layers: ["1"] }), makeImage({ layers: ["2"] })];
    await put("python", one);
    await put("alpine", two);
    await put("zebra:1", two);
    await store.tag(parseReference("python"), two.manifest);
    const listed = (await store.list()).map(({ digest, names }) => [digest, names]);
    const names = ["alpine:latest", "python:latest", "zebra:1"].map(
      (name) => `docker.io/library/${name}`,
    );
    expect(listed).toEqual([
      [two.manifest.digest, names],
      [one.manifest.digest, []],
    ]);
    expect(await store.untag(parseReference("python"))).toBe(true);
    expect(await store.untag(parseReference("python"))).toBe(false);
    expect(await store.find("python")).toBeUndefined();
  });

  test("may be as long as references may be", async () => {
    const { store, put } = await fixture();
    const name = `registry.example:5000/${"a".repeat(120)}/${"b".repeat(100)}:${"c".repeat(128)}`;
    await put(name, makeImage());
    expect((await store.find(name))?.names).toEqual([name]);
  });

  test.each([
    ["no JSON", "{"],
    ["another shape", '{"version":1}'],
    ["null", "null"],
    ["another name's record", null],
  ])("whose record is %s are told of once and lost by a prune", async (_, content) => {
    const { store, paths, put, warnings } = await fixture();
    await put("python", makeImage({ layers: ["1"] }));
    const [fileName] = await readdir(paths.imageTagRoot);
    await put("alpine", makeImage({ layers: ["2"] }));
    const path = join(paths.imageTagRoot, fileName!);
    const other = (await readdir(paths.imageTagRoot)).find((name) => name !== fileName);
    const replaced = content ?? (await readFile(join(paths.imageTagRoot, other!), "utf8"));
    await writeFile(path, replaced);
    expect(await store.find("python")).toBeUndefined();
    expect((await store.list()).map(({ names }) => names.length)).toEqual([1, 0]);
    expect(warnings).toEqual([expect.stringContaining(path)]);
    await store.prune({ all: false });
    expect(await readdir(paths.imageTagRoot)).toEqual([other]);
    expect(await store.list()).toHaveLength(1);
  });

  test("that a link or a huge file pretends to be are none", async () => {
    const { store, paths, warnings } = await fixture();
    await mkdir(paths.imageTagRoot, { recursive: true });
    await symlink("/etc/hostname", paths.imageTag("a".repeat(64)));
    await writeFile(paths.imageTag("b".repeat(64)), " ".repeat(100_000));
    await writeFile(paths.imageTag("notes"), "mine");
    expect(await store.list()).toEqual([]);
    expect(warnings).toHaveLength(2);
  });

  test("of a newer version keep everything from being removed", async () => {
    const { store, paths, put, digests } = await fixture();
    const image = await put("python", makeImage());
    const [fileName] = await readdir(paths.imageTagRoot);
    const path = join(paths.imageTagRoot, fileName!);
    await writeFile(path, JSON.stringify({ version: 2, something: "new" }));
    const removals = [
      () => store.prune({ all: true }),
      () => store.remove([image.manifest.digest]),
    ];
    for (const remove of removals) {
      await expect(remove()).rejects.toMatchObject({
        code: "MSB_ERR_HOME_UNUSABLE",
        message: expect.stringContaining(path),
      });
    }
    expect(await digests()).toEqual(all(image));
  });
});

const NOTHING = { names: [], digests: [], freedBytes: 0, warmed: [] };

describe("an image that is kept", () => {
  test("loses its last name by force only, and goes when nobody keeps it any more", async () => {
    const { store, put, digests } = await fixture();
    const image = await put("python", makeImage());
    const { digest } = image.manifest;
    const kept = await store.keep(digest);
    await expect(store.remove([python])).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_IN_USE",
      message: expect.stringMatching(/A running server has warmed.*image warm/),
      details: { digest },
    });
    expect(await store.remove([python], { force: true })).toMatchObject({
      names: [python],
      digests: [],
    });
    expect(await digests()).toEqual(all(image));
    await kept[Symbol.asyncDispose]();
    expect(await store.prune({ all: false })).toMatchObject({ digests: [digest] });
  });
});

describe("a prune", () => {
  test("removes images without a name and what only they have", async () => {
    const { store, paths, put, digests } = await fixture();
    const kept = await put("python", makeImage({ layers: ["shared", "1"] }));
    const gone = await put(null, makeImage({ layers: ["shared", "2"] }));
    const [keptDisk, goneDisk] = [await makeDisk(paths, kept), await makeDisk(paths, gone)];
    const own = [...gone.blobs].filter(([digest]) => !kept.blobs.has(digest));
    const ownBytes = own.reduce((sum, [, bytes]) => sum + bytes.length, 0);
    expect(await store.prune({ all: false })).toEqual({
      ...NOTHING,
      digests: [gone.manifest.digest],
      freedBytes: ownBytes + "disk".length,
    });
    expect(await digests()).toEqual(all(kept));
    expect(await readdir(paths.imageDiskRoot)).toEqual([
      keptDisk.slice(keptDisk.lastIndexOf("/") + 1),
    ]);
    expect(goneDisk).not.toBe(keptDisk);
    expect(await store.prune({ all: false })).toEqual(NOTHING);
  });

  test("of all images leaves those in use, with their names", async () => {
    const { store, put, digests } = await fixture();
    const used = await put("python", makeImage({ layers: ["1"] }));
    const unused = await put("node", makeImage({ layers: ["2"] }));
    const inUse = new Set([used.manifest.digest]);
    expect(await store.prune({ all: true, inUse })).toMatchObject({
      names: ["docker.io/library/node:latest"],
      digests: [unused.manifest.digest],
    });
    expect(await digests()).toEqual(all(used));
    expect(await store.prune({ all: true })).toMatchObject({ names: [python] });
    expect(await digests()).toEqual(new Set());
  });

  test("leaves what a pin holds for as long as it does", async () => {
    const { store, paths, put, digests } = await fixture();
    const image = await put("python", makeImage());
    const disk = await makeDisk(paths, image);
    const pin = await store.pin();
    await pin.add(image.manifest.digest);
    expect(await store.prune({ all: true })).toEqual(NOTHING);
    expect(await readFile(disk, "utf8")).toBe("disk");
    await pin[Symbol.asyncDispose]();
    await pin[Symbol.asyncDispose]();
    await expect(pin.add("sha256:00" as Digest)).rejects.toMatchObject({
      code: "MSB_ERR_INTERNAL",
    });
    expect(await store.prune({ all: true })).toMatchObject({ names: [python] });
    expect(await digests()).toEqual(new Set());
    expect(await readdir(paths.imageDiskRoot)).toEqual([]);
    expect(await readdir(paths.imagePinRoot)).toEqual([]);
  });

  test("leaves an image that is kept, with its names, and says so; and nothing that came meanwhile", async () => {
    const { store, paths, put, digests } = await fixture();
    const image = await put("python", makeImage({ layers: ["1"] }));
    const nameless = await put(null, makeImage({ layers: ["2"] }));
    const { digest } = image.manifest;
    const kept = [await store.keep(digest), await store.keep(nameless.manifest.digest)];
    await store.blobs.add(chunked(Buffer.from("layer")), "x");
    const pruned = await store.prune({ all: true });
    expect(pruned).toMatchObject({ names: [], digests: [] });
    expect(pruned.warmed.toSorted()).toEqual([python, nameless.manifest.digest]);
    expect(await digests()).toEqual(new Set([...all(image), ...all(nameless)]));
    // Where names are left alone, or a sandbox uses it, too, it is not what keeps it.
    const inUse = new Set([digest]);
    const { warmed } = await store.prune({ all: false });
    expect(warmed).toEqual([nameless.manifest.digest]);
    expect((await store.prune({ all: true, inUse })).warmed).toEqual(warmed);
    for (const pin of kept) await pin[Symbol.asyncDispose]();
    expect(await store.prune({ all: true })).toMatchObject({ names: [python], warmed: [] });
    expect(await readdir(paths.imagePinRoot)).toEqual([]);
  });

  test("leaves what came while a pin was open, though nobody told the pin", async () => {
    const { store, digests } = await fixture();
    const pin = await store.pin();
    const { digest } = await store.blobs.add(chunked(Buffer.from("layer")), "x");
    await store.prune({ all: true });
    expect(await digests()).toEqual(new Set([digest]));
    await pin[Symbol.asyncDispose]();
    await store.prune({ all: false });
    expect(await digests()).toEqual(new Set());
  });

  test("removes what broke off and leaves what is under way", async () => {
    const { store, paths, digests } = await fixture();
    for (const folder of [paths.imagePartialRoot, paths.imagePinRoot, paths.imageDiskRoot]) {
      await mkdir(folder, { recursive: true });
    }
    const disk = "c".repeat(64);
    const stale = [
      paths.imagePartial("sha256", "a".repeat(64)),
      paths.imagePartial("add", "b".repeat(32)),
      paths.imagePin("dead"),
      paths.imageDisk(disk),
      `${paths.imageDisk(disk)}.lock`,
    ];
    const live = [
      paths.imagePartial("sha256", "d".repeat(64)),
      paths.imagePin("alive"),
      paths.imageDisk("e".repeat(64)),
      `${paths.imageDisk("f".repeat(64))}.lock`,
    ];
    for (const path of [...stale, ...live]) await writeFile(path, "12345");
    const mine = join(paths.imageDiskRoot, tempName("disk"));
    await writeFile(mine, "x");
    const locks = await Promise.all(live.map((path) => FileLock.acquire(path, "exclusive")));
    const { freedBytes } = await store.prune({ all: false });
    expect(freedBytes).toBe(4 * 5);
    for (const path of stale) await expect(readFile(path)).rejects.toThrow("ENOENT");
    for (const path of [...live, mine]) expect((await readFile(path)).length).toBeGreaterThan(0);
    for (const lock of locks) await lock.release();
    expect(await digests()).toEqual(new Set());
  });

  test("leaves all disks when an image in use cannot be read", async () => {
    const { store, paths, put } = await fixture();
    const image = await put("python", makeImage());
    const disk = await makeDisk(paths, image);
    await rm(store.blobs.pathOf(image.config.digest));
    await store.prune({ all: true, inUse: new Set([image.manifest.digest]) });
    expect(await readFile(disk, "utf8")).toBe("disk");
    await store.prune({ all: true });
    await expect(readFile(disk)).rejects.toThrow("ENOENT");
  });

  test("of an empty home finds nothing", async () => {
    const { store } = await fixture();
    expect(await store.prune({ all: true })).toEqual(NOTHING);
  });
});

describe("a removal", () => {
  test("takes one name of two, then the image with its disk, and nothing of others", async () => {
    const { store, paths, put, digests } = await fixture();
    const kept = await put("node", makeImage({ layers: ["shared", "1"] }));
    const image = await put("python", makeImage({ layers: ["shared", "2"] }));
    const unnamed = await put(null, makeImage({ layers: ["3"] }));
    await store.tag(parseReference("py:1"), image.manifest);
    await makeDisk(paths, image);
    expect(await store.remove(["python"])).toEqual({ names: [python], digests: [], freedBytes: 0 });
    expect(await store.remove(["py:1"])).toMatchObject({
      names: ["docker.io/library/py:1"],
      digests: [image.manifest.digest],
    });
    expect(await digests()).toEqual(new Set([...all(kept), ...all(unnamed)]));
    expect(await readdir(paths.imageDiskRoot)).toEqual([]);
  });

  test("by digest takes the only name, and several with force alone", async () => {
    const { store, put, digests } = await fixture();
    const image = await put("python", makeImage());
    await store.tag(parseReference("py:1"), image.manifest);
    await expect(store.remove([image.manifest.digest])).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_IN_USE",
      message: expect.stringContaining("py:1"),
    });
    const removed = await store.remove([hexOf(image.manifest.digest).slice(0, 12)], {
      force: true,
    });
    expect(removed.names).toEqual(["docker.io/library/py:1", python]);
    expect(await digests()).toEqual(new Set());
  });

  test("is all or nothing", async () => {
    const { store, put } = await fixture();
    await put("python", makeImage());
    await expect(store.remove(["python", "node"])).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_NOT_FOUND",
      message: expect.stringContaining('"node"'),
    });
    expect(await store.find("python")).toBeDefined();
  });

  test("of an image in use needs force and leaves its content", async () => {
    const { store, put, digests } = await fixture();
    const image = await put("python", makeImage());
    const inUse = new Set([image.manifest.digest]);
    await expect(store.remove(["python"], { inUse })).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_IN_USE",
    });
    expect(await store.find("python")).toBeDefined();
    expect(await store.remove(["python"], { inUse, force: true })).toEqual({
      names: [python],
      digests: [],
      freedBytes: 0,
    });
    expect(await digests()).toEqual(all(image));
  });
});

test("opening a store removes what nobody can go on with, and only that", async () => {
  const { paths } = await fixture();
  for (const folder of [paths.imagePartialRoot, paths.imagePinRoot]) {
    await mkdir(folder, { recursive: true });
  }
  const partial = paths.imagePartial("sha256", "a".repeat(64));
  const spool = paths.imagePartial("add", "b".repeat(32));
  const busy = paths.imagePartial("add", "c".repeat(32));
  for (const path of [partial, spool, busy, paths.imagePin("dead")]) await writeFile(path, "x");
  await using _lock = await FileLock.acquire(busy, "exclusive");
  await ImageStore.open(paths);
  expect(
    (await readdir(paths.imagePartialRoot)).map((name) => join(paths.imagePartialRoot, name)),
  ).toEqual([busy, partial].toSorted());
  expect(await readdir(paths.imagePinRoot)).toEqual([]);
});
