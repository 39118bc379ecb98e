/** Archives against tools that are not ours: what they make we load, what we save they read. */
import { execFileSync } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { type LoadedImage, loadArchive } from "../../../src/oci/archive/load.js";
import { type ArchiveFormat, saveArchive } from "../../../src/oci/archive/save.js";
import {
  layersOf,
  MediaType,
  parseImageConfig,
  parseManifestDocument,
} from "../../../src/oci/manifest.js";
import { BlobStore } from "../../../src/oci/store/blob-store.js";
import { msbPaths } from "../../../src/paths.js";
import { sharedTempDir } from "../../helpers/shared-temp-dir.js";
import { tempDir } from "../../helpers/temp-dir.js";

const NAME = "docker.io/library/app:1";
const run = (tool: string, ...args: string[]): string =>
  execFileSync(tool, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const skopeo = (...args: string[]): string => run("skopeo", "--insecure-policy", ...args);

/** A layout by umoci: two layers, one file of which is in both. */
const dir = sharedTempDir();
const layout = () => join(dir(), "layout");
beforeAll(async () => {
  run("umoci", "init", "--layout", layout());
  run("umoci", "new", "--image", `${layout()}:v1`);
  for (const [index, text] of ["lower", "upper"].entries()) {
    const tree = join(dir(), `tree-${index}`);
    await mkdir(join(tree, "opt"), { recursive: true });
    await writeFile(join(tree, "opt/same"), text);
    await writeFile(join(tree, `opt/${text}`), text.repeat(10_000));
    run("umoci", "insert", "--image", `${layout()}:v1`, join(tree, "opt"), "/opt");
  }
  run("umoci", "config", "--image", `${layout()}:v1`, "--config.cmd", "/opt/start");
});

async function newStore() {
  const paths = msbPaths(join(await tempDir(), "home"));
  const store = new BlobStore(paths);
  return {
    store,
    load: (source: string) => loadArchive(source, { store, tempDir: paths.tempDir }),
  };
}

async function describeImage(store: BlobStore, image: LoadedImage) {
  const document = parseManifestDocument((await store.read(image.manifest))!);
  if (document.kind !== "manifest") throw new Error("not a manifest");
  const config = parseImageConfig((await store.read(document.manifest.config))!);
  const layers = layersOf(document.manifest, config);
  for (const layer of layers) expect(await store.has(layer.descriptor)).toBe(true);
  return {
    cmd: config.config?.Cmd,
    diffIds: layers.map(({ diffId }) => diffId),
    types: layers.map(({ descriptor }) => descriptor.mediaType),
  };
}

const umociManifest = async (): Promise<string> => {
  const index = JSON.parse(await readFile(join(layout(), "index.json"), "utf8"));
  return index.manifests[0].digest;
};

describe("an archive of another tool is loaded", () => {
  test("umoci's layout, as folder and as tar, plain and packed", async () => {
    const tars = [join(dir(), "plain.tar"), join(dir(), "packed.tar.gz")];
    run("tar", "-C", layout(), "-cf", tars[0]!, ".");
    run("tar", "-C", layout(), "-czf", tars[1]!, ".");
    for (const source of [layout(), ...tars]) {
      const { store, load } = await newStore();
      const [image, ...others] = await load(source);
      expect(others).toEqual([]);
      expect(image).toMatchObject({ manifest: { digest: await umociManifest() }, names: [] });
      expect(await describeImage(store, image!)).toMatchObject({ cmd: ["/opt/start"] });
    }
  });

  test("skopeo's docker archive, with its name and the same layers", async () => {
    const path = join(dir(), "skopeo-docker.tar");
    skopeo("copy", `oci:${layout()}:v1`, `docker-archive:${path}:app:1`);
    const { store, load } = await newStore();
    const [image] = await load(path);
    expect(image!.names).toEqual([NAME]);
    const other = await newStore();
    const [original] = await other.load(layout());
    const { diffIds, cmd } = await describeImage(other.store, original!);
    const types = diffIds.map(() => MediaType.ociLayer);
    expect(await describeImage(store, image!)).toEqual({ diffIds, cmd, types });
  });

  test("skopeo's OCI archive, zstd layers and all", async () => {
    const path = join(dir(), "skopeo-oci.tar");
    const zstd = ["--dest-compress-format", "zstd"];
    skopeo("copy", ...zstd, `oci:${layout()}:v1`, `oci-archive:${path}:app:1`);
    const { store, load } = await newStore();
    const [image] = await load(path);
    expect(image!.names).toEqual([NAME]);
    const { diffIds, types } = await describeImage(store, image!);
    expect(diffIds).toHaveLength(2);
    expect(types).toEqual([MediaType.ociLayerZstd, MediaType.ociLayerZstd]);
  });

  test("a docker archive through a pipe", async () => {
    const path = join(dir(), "fifo-docker.tar");
    skopeo("copy", `oci:${layout()}:v1`, `docker-archive:${path}:app:1`);
    const fifo = join(await tempDir(), "fifo");
    run("mkfifo", fifo);
    const { load } = await newStore();
    const writing = readFile(path).then((bytes) => writeFile(fifo, bytes));
    const [[image]] = await Promise.all([load(fifo), writing]);
    expect(image!.names).toEqual([NAME]);
  });
});

describe("an archive of ours is read", () => {
  async function saved(format: ArchiveFormat): Promise<{ path: string; diffIds: string[] }> {
    const { store, load } = await newStore();
    const [image] = await load(layout());
    const path = join(await tempDir(), "saved");
    const images = [{ manifest: image!.manifest, names: [NAME] }];
    if (format === "docker") {
      // As the CLI does for `-`.
      const file = createWriteStream(path);
      await saveArchive(images, file, { store, format });
      file.end();
      await finished(file);
    } else {
      await saveArchive(images, path, { store, format });
    }
    return { path, diffIds: (await describeImage(store, image!)).diffIds };
  }
  const diffIdsOf = (source: string): string[] =>
    JSON.parse(skopeo("inspect", "--config", source)).rootfs.diff_ids;

  test("by skopeo: OCI folder and tar, docker archive by its name", async () => {
    const folder = await saved("oci-dir");
    expect(diffIdsOf(`oci:${folder.path}:1`)).toEqual(folder.diffIds);
    expect(JSON.parse(skopeo("inspect", `oci:${folder.path}:1`)).Digest).toBe(
      await umociManifest(),
    );
    const tar = await saved("oci");
    expect(diffIdsOf(`oci-archive:${tar.path}:1`)).toEqual(tar.diffIds);
    const docker = await saved("docker");
    expect(diffIdsOf(`docker-archive:${docker.path}:app:1`)).toEqual(docker.diffIds);
    expect(diffIdsOf(`oci-archive:${docker.path}:1`)).toEqual(docker.diffIds);
  });

  test("by skopeo, which takes the layers out of it, too", async () => {
    for (const format of ["oci", "docker"] as const) {
      const { path, diffIds } = await saved(format);
      const source = format === "oci" ? `oci-archive:${path}:1` : `docker-archive:${path}:app:1`;
      const copy = join(await tempDir(), "copy");
      skopeo("copy", source, `oci:${copy}:1`);
      expect(diffIdsOf(`oci:${copy}:1`)).toEqual(diffIds);
    }
  });

  test("by umoci, which unpacks it", async () => {
    const { path } = await saved("oci-dir");
    const bundle = join(await tempDir(), "bundle");
    const rootless = process.getuid?.() === 0 ? [] : ["--rootless"];
    run("umoci", "unpack", ...rootless, "--image", `${path}:1`, bundle);
    expect(await readFile(join(bundle, "rootfs/opt/same"), "utf8")).toBe("upper");
    expect((await stat(join(bundle, "rootfs/opt/lower"))).size).toBe(50_000);
  });

  test("by tar", async () => {
    for (const format of ["oci", "docker"] as const) {
      const { path } = await saved(format);
      expect(run("tar", "-tf", path).split("\n")).toContain("oci-layout");
    }
  });
});
