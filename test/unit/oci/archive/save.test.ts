import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { Parser } from "tar";
import { describe, expect, test } from "vitest";
import { loadArchive } from "../../../../src/oci/archive/load.js";
import { type ArchiveFormat, saveArchive } from "../../../../src/oci/archive/save.js";
import { BlobStore } from "../../../../src/oci/store/blob-store.js";
import { msbPaths } from "../../../../src/paths.js";
import type { Progress } from "../../../../src/util/progress.js";
import { blobPath, layerTar, ref, testImage } from "../../../helpers/archives.js";
import { tempDir } from "../../../helpers/temp-dir.js";

const first = testImage();
const second = testImage([layerTar("a"), layerTar("z")]);
const NAMES = ["docker.io/library/app:1", "quay.io/x/y:2"];
const images = [
  { manifest: first.manifest, names: NAMES },
  { manifest: second.manifest, names: [] },
];

async function setUp() {
  const dir = await tempDir();
  const out = join(dir, "out");
  await mkdir(out);
  const store = new BlobStore(msbPaths(join(dir, "home")));
  for (const { bytes, mediaType } of [...first.blobs, ...second.blobs]) {
    await store.putBytes(bytes, mediaType);
  }
  const save = (target: string | Writable, format: ArchiveFormat = "oci", signal?: AbortSignal) =>
    saveArchive(images, target, { store, format, ...(signal && { signal }) });
  const load = async (source: string) => {
    const other = msbPaths(join(await tempDir(), "home"));
    return await loadArchive(source, { store: new BlobStore(other), tempDir: other.tempDir });
  };
  return { store, out, save, load, left: () => readdir(out) };
}

async function tarEntries(path: string): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  const parser = new Parser();
  parser.on("entry", (entry) => {
    const chunks: Buffer[] = [];
    entry.on("data", (chunk: Buffer) => chunks.push(chunk));
    entry.on("end", () => found.set(entry.path, Buffer.concat(chunks)));
  });
  parser.end(await readFile(path));
  return found;
}

/** Bytes of a file, or of all files of a folder. */
async function contentOf(path: string): Promise<Buffer[]> {
  if ((await stat(path)).isFile()) return [await readFile(path)];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const paths = files.map(({ parentPath, name }) => join(parentPath, name)).toSorted();
  return await Promise.all(paths.map((file) => readFile(file)));
}

const json = (bytes: Buffer | undefined): unknown => JSON.parse(bytes!.toString());

describe.each(["oci", "docker", "oci-dir"] as const)("an archive in format %s", (format) => {
  test("is loaded again as what was saved, and is the same every time", async () => {
    const { out, save, load, left } = await setUp();
    await save(join(out, "a"), format);
    await save(join(out, "b"), format);
    expect(await left()).toEqual(["a", "b"]);
    expect(await load(join(out, "a"))).toEqual([
      { manifest: ref(first.manifest), names: NAMES },
      { manifest: ref(second.manifest), names: [] },
    ]);
    expect(await contentOf(join(out, "a"))).toEqual(await contentOf(join(out, "b")));
  });

  test("is not there at all when its making fails or is aborted", async () => {
    const { store, out, save, left } = await setUp();
    const missing = { ...first.manifest, digest: `sha256:${"0".repeat(64)}` as const };
    const target = join(out, "a");
    await expect(
      saveArchive([{ manifest: missing, names: [] }], target, { store, format }),
    ).rejects.toMatchObject({ code: "MSB_ERR_IMAGE_NOT_FOUND" });
    await expect(save(target, format, AbortSignal.abort())).rejects.toMatchObject({
      code: "MSB_ERR_ABORTED",
    });
    const controller = new AbortController();
    const { signal } = controller;
    const onProgress = (): void => controller.abort();
    await expect(
      saveArchive(images, target, { store, format, signal, onProgress }),
    ).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
    await writeFile(store.pathOf(second.layers[1]!.digest), "spoilt");
    await expect(save(target, format)).rejects.toMatchObject({ code: "MSB_ERR_DIGEST_MISMATCH" });
    await expect(save(join(out, "no/such/a"), format)).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      message: expect.stringContaining("not there") as string,
    });
    expect(await left()).toEqual([]);
  });
});

test("an index has a name for every way in: a tag while it is unique, the full name always", async () => {
  const { store, out } = await setUp();
  const target = join(out, "a");
  const names = [...NAMES, "docker.io/library/other:2"];
  await saveArchive([{ manifest: first.manifest, names }], target, { store });
  const annotations = (
    json((await tarEntries(target)).get("index.json")) as {
      manifests: { annotations: object }[];
    }
  ).manifests.map((entry) => Object.values(entry.annotations));
  expect(annotations).toEqual([
    ["docker.io/library/app:1", "1"],
    ["docker.io/library/other:2", "docker.io/library/other:2"],
    ["quay.io/x/y:2", "quay.io/x/y:2"],
  ]);
});

test("the docker format has the table of docker save, with layers as they are stored", async () => {
  const { out, save } = await setUp();
  await save(join(out, "a"), "docker");
  const entries = await tarEntries(join(out, "a"));
  expect(json(entries.get("manifest.json"))).toEqual([
    {
      Config: blobPath(first.config),
      RepoTags: ["app:1", "quay.io/x/y:2"],
      Layers: first.layers.map(blobPath),
    },
    { Config: blobPath(second.config), RepoTags: null, Layers: second.layers.map(blobPath) },
  ]);
  expect([...entries.keys()].filter((name) => name.startsWith("blobs/sha256/"))).toHaveLength(8);
});

describe("a target", () => {
  test("that is a stream gets the same bytes, and is not ended", async () => {
    const { out, save } = await setUp();
    const chunks: Buffer[] = [];
    const stream = new PassThrough({ highWaterMark: 10 });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    await save(stream);
    expect(stream.writableEnded).toBe(false);
    await save(join(out, "a"));
    expect(Buffer.concat(chunks)).toEqual(await readFile(join(out, "a")));
    await expect(save(stream, "oci-dir")).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
    });
  });

  test("that breaks is named, and so is a reader that went away", async () => {
    const { save } = await setUp();
    for (const [code, expected] of [
      ["EPIPE", "MSB_ERR_INVALID_ARGUMENT"],
      ["ENOSPC", "MSB_ERR_NO_SPACE"],
    ] as const) {
      const stream = new Writable({
        write: (_chunk, _encoding, done) => done(Object.assign(new Error(code), { code })),
      });
      await expect(save(stream)).rejects.toMatchObject({ code: expected });
    }
  });

  test("that is a file is replaced at once; a folder with something in it is not", async () => {
    const { out, save, left } = await setUp();
    await writeFile(join(out, "a"), "before");
    await save(join(out, "a"));
    expect((await stat(join(out, "a"))).size).toBeGreaterThan(1000);
    await mkdir(join(out, "empty"));
    await save(join(out, "empty"), "oci-dir");
    await mkdir(join(out, "full"));
    await writeFile(join(out, "full/x"), "x");
    for (const [target, format] of [
      ["full", "oci-dir"],
      ["full", "oci"],
      ["a", "oci-dir"],
    ] as const) {
      await expect(save(join(out, target), format)).rejects.toMatchObject({
        code: "MSB_ERR_INVALID_ARGUMENT",
      });
    }
    expect(await left()).toEqual(["a", "empty", "full"]);
    expect(await readdir(join(out, "full"))).toEqual(["x"]);
  });

  test("that is a device is written to and stays one", async () => {
    const { out, save } = await setUp();
    await symlink("/dev/null", join(out, "null"));
    await save(join(out, "null"));
    expect((await stat(join(out, "null"))).isCharacterDevice()).toBe(true);
  });
});

test("progress tells bytes up to the whole", async () => {
  const { store, out } = await setUp();
  const seen: Progress[] = [];
  await saveArchive(images, join(out, "a"), { store, onProgress: (record) => seen.push(record) });
  const last = seen.at(-1)!;
  expect(last).toMatchObject({ id: "archive", state: "done", doneBytes: last.totalBytes });
});
