import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { loadArchive, type LoadArchiveOpts } from "../../../../src/oci/archive/load.js";
import { digestOf } from "../../../../src/oci/digest.js";
import { MediaType } from "../../../../src/oci/manifest.js";
import { BlobStore } from "../../../../src/oci/store/blob-store.js";
import { msbPaths } from "../../../../src/paths.js";
import {
  type Blob,
  blobEntries,
  blobOf,
  blobPath,
  dockerEntries,
  indexEntry,
  LAYOUT,
  layerTar,
  layoutEntries,
  ref,
  testImage,
} from "../../../helpers/archives.js";
import { hangingBody } from "../../../helpers/blobs.js";
import { chunked, type EntrySpec, metaEntry, tar } from "../../../helpers/tar-builder.js";
import { tempDir } from "../../../helpers/temp-dir.js";

async function setUp() {
  const dir = await tempDir();
  const paths = msbPaths(join(dir, "home"));
  const store = new BlobStore(paths);
  const common = {
    store,
    tempDir: paths.tempDir,
    platform: { os: "linux", architecture: "amd64" },
  };
  return {
    dir,
    store,
    load: (source: string | Buffer, opts: Partial<LoadArchiveOpts> = {}) =>
      loadArchive(Buffer.isBuffer(source) ? chunked(source, 1000) : source, { ...common, ...opts }),
    loadEntries: (entries: readonly EntrySpec[], opts: Partial<LoadArchiveOpts> = {}) =>
      loadArchive(chunked(tar(entries), 1000), { ...common, ...opts }),
    /** Every file of the test's folder. */
    files: async () =>
      (await readdir(dir, { recursive: true, withFileTypes: true }))
        .filter((entry) => !entry.isDirectory())
        .map(({ name }) => name)
        .toSorted(),
  };
}

const NAME = "docker.io/library/app:1";
const image = testImage();
const manifest = ref(image.manifest);
const hexesOf = (blobs: readonly Blob[]): string[] =>
  blobs.map(({ digest }) => digest.slice("sha256:".length)).toSorted();

async function writeTree(dir: string, entries: readonly EntrySpec[]): Promise<void> {
  for (const { path, data } of entries) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), data!);
  }
}

describe("an OCI layout", () => {
  const entries = layoutEntries(image, "app:1");

  test("is loaded from a stream with its blobs and names, whatever the order of its entries", async () => {
    for (const order of [entries, entries.toReversed()]) {
      const { loadEntries, files } = await setUp();
      expect(await loadEntries(order)).toEqual([{ manifest, names: [NAME] }]);
      expect(await files()).toEqual(hexesOf(image.blobs));
    }
  });

  test("is loaded from a file, plain and packed, and from a folder", async () => {
    const { dir, load } = await setUp();
    const plain = tar(entries);
    await writeFile(join(dir, "plain.tar"), plain);
    await writeFile(join(dir, "packed.tar"), gzipSync(plain));
    await writeTree(join(dir, "layout"), entries);
    for (const name of ["plain.tar", "packed.tar", "layout"]) {
      expect(await load(join(dir, name))).toEqual([{ manifest, names: [NAME] }]);
    }
    expect(await load(gzipSync(plain))).toEqual([{ manifest, names: [NAME] }]);
  });

  test("in a folder may have links to blobs, as some builders make them", async () => {
    const { dir, load } = await setUp();
    await writeTree(
      join(dir, "layout"),
      entries.filter(({ path }) => !path.startsWith("blobs")),
    );
    await writeTree(join(dir, "cache"), blobEntries(image.blobs));
    await symlink(join(dir, "cache/blobs"), join(dir, "layout/blobs"));
    expect(await load(join(dir, "layout"))).toHaveLength(1);
  });

  test("may have names with ./ before them, long names and extended headers", async () => {
    const { loadEntries } = await setUp();
    const strange = entries.map((entry, index) =>
      index % 2 === 0
        ? { ...entry, path: `./${entry.path}` }
        : { ...entry, path: "x", pax: [["path", entry.path] as const] },
    );
    expect(await loadEntries([{ path: "./", type: "5" }, ...strange])).toHaveLength(1);
  });

  test("gives every image with all its names; a bare tag or another text is none", async () => {
    const other = testImage([layerTar("c")]);
    const named = (name: string, key = "org.opencontainers.image.ref.name") => ({
      annotations: { [key]: name },
    });
    const { loadEntries } = await setUp();
    const loaded = await loadEntries([
      LAYOUT,
      ...blobEntries([...image.blobs, ...other.blobs]),
      indexEntry([
        { ...manifest, ...named("127.0.0.1:5000/z:2") },
        { ...manifest, ...named("latest") },
        { ...manifest, ...named("docker.io/library/app:1", "io.containerd.image.name") },
        { ...ref(other.manifest), ...named("some / text:") },
      ]),
    ]);
    expect(loaded).toEqual([
      { manifest, names: ["127.0.0.1:5000/z:2", NAME] },
      { manifest: ref(other.manifest), names: [] },
    ]);
  });

  test("with an image for several platforms gives the one that is wanted, the others need not be there", async () => {
    const arm = testImage(undefined, "arm64");
    const platform = (architecture: string) => ({ platform: { os: "linux", architecture } });
    const manifests = [
      { ...ref(arm.manifest), ...platform("arm64") },
      { ...manifest, ...platform("amd64") },
      { ...manifest, ...platform("unknown"), platform: { os: "unknown", architecture: "unknown" } },
    ];
    const nested = blobOf({ schemaVersion: 2, manifests }, MediaType.ociIndex);
    for (const top of [manifests, [ref(nested)]]) {
      const { loadEntries } = await setUp();
      const blobs = [LAYOUT, ...blobEntries([nested, ...image.blobs]), indexEntry(top)];
      expect(await loadEntries(blobs)).toEqual([{ manifest, names: [] }]);
      const s390x = { os: "linux", architecture: "s390x" };
      await expect(loadEntries(blobs, { platform: s390x })).rejects.toMatchObject({
        code: "MSB_ERR_IMAGE_PLATFORM",
      });
    }
  });

  test("need not have a layer that the store has", async () => {
    const { store, loadEntries } = await setUp();
    const [layer] = image.layers;
    await store.putBytes(layer!.bytes, layer!.mediaType);
    const rest = entries.filter(({ path }) => path !== blobPath(layer!));
    expect(await loadEntries(rest)).toHaveLength(1);
  });
});

describe("a docker archive", () => {
  const layers = [layerTar("a"), layerTar("b")];

  test("gets a manifest whose layers are as they were in it", async () => {
    const { store, loadEntries, files } = await setUp();
    const packed = [layers[0]!, gzipSync(layers[1]!)];
    const tags = ["app:1", "quay.io/x/y:2", "<none>:<none>"];
    const entries = dockerEntries(packed, { tags, diffIds: layers.map(digestOf) });
    const [loaded] = await loadEntries(entries);
    expect(loaded!.names).toEqual([NAME, "quay.io/x/y:2"]);
    const document = JSON.parse((await store.read(loaded!.manifest))!.toString());
    expect(document).toMatchObject({
      mediaType: MediaType.ociManifest,
      config: { mediaType: MediaType.ociConfig },
      layers: [
        { mediaType: MediaType.ociLayer, digest: digestOf(packed[0]!), size: packed[0]!.length },
        { mediaType: MediaType.ociLayerGzip, digest: digestOf(packed[1]!) },
      ],
    });
    expect(await files()).toHaveLength(4);
  });

  test("may have links between equal layers, soft and hard", async () => {
    for (const [type, linkPath] of [
      ["2", "../layer-0/layer.tar"],
      ["1", "layer-0/layer.tar"],
    ] as const) {
      const { loadEntries, files } = await setUp();
      const entries = dockerEntries([layers[0]!, layers[0]!]).map((entry) =>
        entry.path === "layer-1/layer.tar" ? { path: entry.path, type, linkPath } : entry,
      );
      expect(await loadEntries(entries)).toHaveLength(1);
      expect(await files()).toHaveLength(3);
    }
  });

  test("that is a layout as well is read as one, so the digests stay", async () => {
    const { loadEntries } = await setUp();
    const entries = [...dockerEntries(layers), ...layoutEntries(image)];
    expect(await loadEntries(entries)).toEqual([{ manifest, names: [] }]);
  });

  test("with a name that is none is refused", async () => {
    const { loadEntries, files } = await setUp();
    await expect(loadEntries(dockerEntries(layers, { tags: ["A B"] }))).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_REFERENCE",
    });
    expect(await files()).toEqual([]);
  });
});

const docker = dockerEntries([layerTar()]);
const layout = layoutEntries(image);
const without = (entries: readonly EntrySpec[], path: string): EntrySpec[] =>
  entries.filter((entry) => entry.path !== path);
const circle = (() => {
  // No digest can be its own; an index can at most nest deeper than anyone may follow.
  let inner = blobOf({ schemaVersion: 2, manifests: [manifest] }, MediaType.ociIndex);
  const all = [inner];
  for (let depth = 0; depth < 10; depth += 1) {
    inner = blobOf({ schemaVersion: 2, manifests: [ref(inner)] }, MediaType.ociIndex);
    all.push(inner);
  }
  return [LAYOUT, ...blobEntries([...all, ...image.blobs]), indexEntry([ref(inner)])];
})();
const wrongBlob = (blob: Blob): EntrySpec[] =>
  layout.map((entry) =>
    entry.path === blobPath(blob) ? { ...entry, data: Buffer.alloc(blob.size, 0x20) } : entry,
  );

describe("a hostile or broken archive", () => {
  test.each([
    ["nothing at all", Buffer.alloc(0), "IMAGE_INVALID"],
    ["random text", Buffer.from("hello ".repeat(200)), "IMAGE_INVALID"],
    ["only zeros", Buffer.alloc(10_240), "IMAGE_INVALID"],
    ["a tar of something else", layerTar(), "IMAGE_INVALID"],
    ["an xz file", Buffer.from("\xfd7zXZ\0".padEnd(600), "latin1"), "IMAGE_INVALID"],
    ["half a gzip file", gzipSync(tar(layout)).subarray(0, 500), "IMAGE_INVALID"],
    ["half a tar file", tar(layout).subarray(0, 2000), "IMAGE_INVALID"],
    ["an entry that climbs", tar([{ path: "../x", data: "x" }, ...layout]), "IMAGE_INVALID"],
    ["an entry that climbs later", tar([{ path: "a/../../x" }, ...layout]), "IMAGE_INVALID"],
    ["an absolute entry", tar([{ path: "/etc/passwd" }, ...layout]), "IMAGE_INVALID"],
    ["an absolute link", tar([{ path: "a", type: "2", linkPath: "/etc/passwd" }]), "IMAGE_INVALID"],
    ["a link that climbs", tar([{ path: "a", type: "2", linkPath: "../b" }]), "IMAGE_INVALID"],
    [
      "a table that is a link out",
      tar([{ path: "manifest.json", type: "2", linkPath: "/etc/passwd" }]),
      "IMAGE_INVALID",
    ],
    [
      "links in a circle",
      tar([
        { path: "index.json", type: "2", linkPath: "b" },
        { path: "b", type: "1", linkPath: "index.json" },
      ]),
      "IMAGE_INVALID",
    ],
    ["a device", tar([{ path: "a", type: "3" }, ...layout]), "IMAGE_INVALID"],
    ["an entry longer than the file", tar([{ path: "a", size: 2 ** 40 }]), "IMAGE_INVALID"],
    [
      "an extended header without an end",
      tar([metaEntry("x", Buffer.from("99 path=a\n")), ...layout.map((entry) => tar([entry]))]),
      "IMAGE_INVALID",
    ],
    ["a layer that is missing", tar(without(layout, blobPath(image.layers[0]!))), "IMAGE_INVALID"],
    ["a manifest that is missing", tar(without(layout, blobPath(image.manifest))), "IMAGE_INVALID"],
    ["a manifest of other content", tar(wrongBlob(image.manifest)), "DIGEST_MISMATCH"],
    ["a config of other content", tar(wrongBlob(image.config)), "DIGEST_MISMATCH"],
    ["a first layer of other content", tar(wrongBlob(image.layers[0]!)), "DIGEST_MISMATCH"],
    ["indexes without an end", tar(circle), "IMAGE_INVALID"],
    ["no image in the index", tar([LAYOUT, indexEntry([])]), "IMAGE_INVALID"],
    [
      "a layout of another version",
      tar([{ path: "oci-layout", data: '{"imageLayoutVersion":"2.0.0"}' }, ...layout.slice(1)]),
      "IMAGE_INVALID",
    ],
    [
      "an artifact that is no image",
      (() => {
        const layers = [ref(blobOf(Buffer.from("x"), "application/x-sbom"))];
        const { bytes } = image.manifest;
        const other = blobOf({ ...JSON.parse(bytes.toString()), layers }, MediaType.ociManifest);
        return tar([LAYOUT, ...blobEntries([...image.blobs, other]), indexEntry([ref(other)])]);
      })(),
      "IMAGE_INVALID",
    ],
    ["a table that is no JSON", tar([{ path: "manifest.json", data: "{" }]), "IMAGE_INVALID"],
    ["a table of something else", tar([{ path: "manifest.json", data: "{}" }]), "IMAGE_INVALID"],
    [
      "a config whose name lies",
      tar(docker.map((e) => (e.path.length > 60 ? { ...e, data: `${String(e.data)} ` } : e))),
      "DIGEST_MISMATCH",
    ],
    [
      "fewer layers than diff ids",
      tar(dockerEntries([], { diffIds: [digestOf(layerTar())] })),
      "IMAGE_INVALID",
    ],
    [
      "a layer of another diff id",
      tar(dockerEntries([layerTar("a")], { diffIds: [digestOf(layerTar("b"))] })),
      "DIGEST_MISMATCH",
    ],
    [
      "a packed layer of another diff id",
      tar(dockerEntries([gzipSync(layerTar("a"))], { diffIds: [digestOf(layerTar("b"))] })),
      "DIGEST_MISMATCH",
    ],
    ["a docker layer that is missing", tar(without(docker, "layer-0/layer.tar")), "IMAGE_INVALID"],
    ["the format before Docker 1.10", tar([{ path: "repositories", data: "{}" }]), "IMAGE_INVALID"],
  ])("%s is refused clearly, and nothing is left", async (_, archive, code) => {
    const { load, files } = await setUp();
    await expect(load(archive)).rejects.toMatchObject({
      code: `MSB_ERR_${code}`,
      message: expect.stringMatching(/^[^\n]{20,600}$/) as string,
    });
    expect(await files()).toEqual([]);
  });

  test("with a document of 100 MB is refused before it is read", async () => {
    const { dir, load, files } = await setUp();
    const huge = { ...image.manifest, size: 100e6, bytes: Buffer.alloc(100e6, 0x20) };
    const archive = join(dir, "a.tar");
    await writeFile(archive, tar([LAYOUT, ...blobEntries([huge]), indexEntry([ref(huge)])]));
    await expect(load(archive)).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_INVALID",
      message: expect.stringContaining("100000000 bytes") as string,
    });
    expect(await files()).toEqual(["a.tar"]);
  });

  test("of more entries, images or bytes than allowed is refused, and the limit is named", async () => {
    const { load, loadEntries, files } = await setUp();
    const bomb = gzipSync(Buffer.alloc(300 * 1024 ** 2));
    for (const [run, option] of [
      [() => loadEntries(layout, { limits: { maxEntries: 3 } }), "maxEntries"],
      [() => loadEntries(layout, { limits: { maxImages: 0 } }), "maxImages"],
      [() => loadEntries(docker, { limits: { maxImages: 0 } }), "maxImages"],
      [() => load(tar(layout), { limits: { maxSpooledBytes: 1000 } }), "maxSpooledBytes"],
      [() => load(bomb, { limits: { maxRatio: 100 } }), "maxRatio"],
    ] as const) {
      await expect(run()).rejects.toMatchObject({
        code: "MSB_ERR_IMAGE_LIMIT",
        message: expect.stringContaining(`limits.${option}`) as string,
      });
    }
    expect(await files()).toEqual([]);
  });

  test("in a folder finds no file outside of the layout's names", async () => {
    const { dir, load } = await setUp();
    const folder = join(dir, "layout");
    await writeTree(folder, docker);
    await expect(load(folder)).rejects.toMatchObject({ code: "MSB_ERR_IMAGE_INVALID" });
    await mkdir(join(folder, "index.json"));
    await expect(load(folder)).rejects.toMatchObject({
      message: expect.stringContaining("not a regular file") as string,
    });
  });

  test("that is not there is named with what could be", async () => {
    const { dir, load } = await setUp();
    await expect(load(join(dir, "missing.tar"))).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      message: expect.stringContaining("not there") as string,
    });
  });
});

test("a load ends when it is aborted, even if its stream says nothing any more", async () => {
  const { load, files, store } = await setUp();
  const controller = new AbortController();
  const { signal } = controller;
  const archive = tar(layout);
  const running = loadArchive(
    hangingBody(archive.subarray(0, 3000), () => controller.abort()),
    {
      store,
      tempDir: join(await tempDir(), "tmp"),
      signal,
    },
  );
  await expect(running).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
  await expect(load(archive, { signal })).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
  expect(await files()).toEqual([]);
});

test("the blobs of an image are pinned before the first is stored", async () => {
  const { loadEntries, files } = await setUp();
  const pinned: string[] = [];
  const add = async (...digests: string[]): Promise<void> => {
    expect(await files()).toEqual([]);
    pinned.push(...digests);
  };
  await loadEntries(layout, { pin: { add } });
  expect(pinned.toSorted()).toEqual(image.blobs.map(({ digest }) => digest).toSorted());
});
