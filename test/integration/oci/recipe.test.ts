import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Digest } from "../../../src/oci/digest.js";
import {
  type Descriptor,
  type ImageConfig,
  type Manifest,
  parseImageConfig,
  parseManifestDocument,
} from "../../../src/oci/manifest.js";
import { buildRecipe } from "../../../src/oci/recipe/build.js";
import { BlobStore } from "../../../src/oci/store/blob-store.js";
import { msbPaths } from "../../../src/paths.js";
import type { Progress } from "../../../src/util/progress.js";
import { Program } from "../../helpers/program.js";
import { writeRecipe } from "../../helpers/recipe.js";
import { tempDir } from "../../helpers/temp-dir.js";

const BUILD_MS = 300_000;
const RECIPE = {
  exclude: ["/usr/share/man/*"],
  remove: ["/usr/share/zoneinfo/*", "/etc/skel/.[a-z]*"],
  files: [{ source: "motd", path: "/etc/motd", mode: "0644" }],
};

/** A folder for mmdebstrap's own files, which must be empty after it. */
async function setUp() {
  const dir = await tempDir();
  const temp = join(dir, "tmp");
  await mkdir(temp);
  const paths = msbPaths(join(dir, "home"));
  const env = { ...process.env, TMPDIR: temp };
  return { dir, temp, paths, store: new BlobStore(paths), env };
}

async function readImage(
  store: BlobStore,
  descriptor: Descriptor,
): Promise<{ manifest: Manifest; config: ImageConfig }> {
  const document = parseManifestDocument((await store.read(descriptor))!);
  if (document.kind !== "manifest") throw new Error("not a manifest");
  const { manifest } = document;
  return { manifest, config: parseImageConfig((await store.read(manifest.config))!) };
}

describe("a recipe", () => {
  test(
    "becomes the same image twice, and the image is what the recipe says",
    async () => {
      const { dir, temp, store, env } = await setUp();
      const folder = await writeRecipe(join(dir, "recipe"), RECIPE, { motd: "welcome\n" });
      const seen: Progress[] = [];
      const onProgress = (record: Progress): void => void seen.push(record);
      const first = await buildRecipe(folder, { store, env, onProgress });
      const other = await setUp();
      // Another clock and another umask must not show.
      const second = await buildRecipe(folder, { store: other.store, env: other.env });
      expect(second).toEqual(first);
      expect(await readdir(temp)).toEqual([]);
      const done = seen.filter(({ state }) => state === "done").map(({ id }) => id);
      expect(done).toEqual(expect.arrayContaining(["packages", "install", "layer", "files"]));

      const { manifest, config } = await readImage(store, first);
      expect(config).toMatchObject({
        os: "linux",
        created: "2026-01-02T03:04:05Z",
        config: { Cmd: ["sh"], Labels: { "org.opencontainers.image.title": "test/tiny" } },
      });
      const [packages, files] = manifest.layers.map(({ digest }) => store.pathOf(digest));
      const names = list(packages!);
      expect(names).toEqual(
        expect.arrayContaining(["./usr/bin/bash", "./bin", "./etc/debian_version"]),
      );
      for (const gone of [
        /^\.\/usr\/share\/man\/./,
        /^\.\/usr\/share\/zoneinfo\/./,
        /^\.\/etc\/skel\/./,
        /^\.\/dev\/./,
        /^\.\/var\/log\/./,
        /^\.\/etc\/(resolv\.conf|hostname|passwd-)$/,
        /msb-ts-build/,
        /\.deb$/,
      ]) {
        expect(names.filter((name) => gone.test(name))).toEqual([]);
      }
      expect(list(files!)).toEqual(["dev/", "etc/motd"]);
      expect(config.rootfs.diff_ids).toEqual([packages!, files!].map(diffIdOf));
      expect((await readFile(packages!)).readUInt32LE(4)).toBe(0);
    },
    BUILD_MS,
  );

  test(
    "that asks for what there is not fails with mmdebstrap's last words, and nothing is left, also of killed ones",
    async () => {
      const { dir, temp, paths, store, env } = await setUp();
      const stale = join(temp, "msb-recipe-killed");
      await mkdir(stale);
      await writeFile(join(stale, "lock"), "");
      await utimes(stale, 0, 0);
      const folder = await writeRecipe(join(dir, "recipe"), { packages: ["no-such-package"] });
      await expect(buildRecipe(folder, { store, env })).rejects.toMatchObject({
        code: "MSB_ERR_RECIPE_FAILED",
        message: expect.stringMatching(/no-such-package.*MSB_DEBIAN_MIRROR/s) as string,
      });
      expect(await readdir(temp)).toEqual([]);
      expect(await filesBelow(paths.imageRoot)).toEqual([]);
    },
    BUILD_MS,
  );

  test(
    "whose build is aborted leaves no process, no mount and no file",
    async () => {
      const { dir, temp, paths, store, env } = await setUp();
      const folder = await writeRecipe(join(dir, "recipe"));
      const controller = new AbortController();
      const onProgress = ({ id }: Progress): void => {
        if (id === "install") controller.abort();
      };
      const { signal } = controller;
      await expect(buildRecipe(folder, { store, env, onProgress, signal })).rejects.toMatchObject({
        code: "MSB_ERR_ABORTED",
      });
      expect(await readFile("/proc/self/mountinfo", "utf8")).not.toContain(temp);
      expect(await readdir(temp)).toEqual([]);
      expect(await filesBelow(paths.imageRoot)).toEqual([]);
      expect(await processesIn(temp)).toEqual([]);
    },
    BUILD_MS,
  );

  test(
    "whose builder is killed leaves no process, no mount and no file of mmdebstrap",
    async () => {
      const { dir, temp, env } = await setUp();
      const folder = await writeRecipe(join(dir, "recipe"));
      const input = { folder, home: join(dir, "home") };
      const program = Program.start("recipe-program.ts", import.meta.url, input, { env });
      expect(await program.exited).toEqual({ exitCode: null, signal: "SIGKILL" });
      await expect.poll(() => processesIn(temp)).toEqual([]);
      expect(await readFile("/proc/self/mountinfo", "utf8")).not.toContain(temp);
      expect(await readdir(temp)).toEqual([]);
    },
    BUILD_MS,
  );

  test(
    "whose mmdebstrap is killed fails, and leaves no process, no mount and no file",
    async () => {
      const { dir, temp, store, env } = await setUp();
      const folder = await writeRecipe(join(dir, "recipe"));
      let killed = Promise.resolve();
      const onProgress = ({ id }: Progress): void => {
        if (id === "install") killed = killed.then(() => killIn(temp, "mmdebstrap"));
      };
      await expect(buildRecipe(folder, { store, env, onProgress })).rejects.toMatchObject({
        code: "MSB_ERR_RECIPE_FAILED",
        message: expect.stringContaining("exit 137") as string,
      });
      await killed;
      await expect.poll(() => processesIn(temp)).toEqual([]);
      expect(await readFile("/proc/self/mountinfo", "utf8")).not.toContain(temp);
      expect(await readdir(temp)).toEqual([]);
    },
    BUILD_MS,
  );

  test("is not built for what Debian does not have", async () => {
    const { dir, store } = await setUp();
    const folder = await writeRecipe(join(dir, "recipe"));
    const platform = { os: "linux", architecture: "vax" };
    await expect(buildRecipe(folder, { store, platform })).rejects.toMatchObject({
      code: "MSB_ERR_PLATFORM_UNSUPPORTED",
      message: expect.stringContaining("linux/arm64") as string,
    });
  });
});

function list(path: string): string[] {
  const options = { encoding: "utf8", maxBuffer: 1e8 } as const;
  return execFileSync("tar", ["-tzf", path], options).trim().split("\n");
}

function diffIdOf(path: string): Digest {
  const script = 'gzip -dc "$0" | sha256sum';
  return `sha256:${execFileSync("sh", ["-c", script, path], { encoding: "utf8" }).slice(0, 64)}`;
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

/** Processes that were started with `folder` for their temporary files, or with a folder in it. */
async function processesIn(folder: string): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/environ`, "utf8").catch(() => "")),
  );
  const isOne = (line: string): boolean =>
    line.split("\0").some((text) => text.startsWith(`TMPDIR=${folder}`));
  return pids.filter((_, index) => isOne(lines[index]!));
}

async function killIn(folder: string, name: string): Promise<void> {
  for (const pid of await processesIn(folder)) {
    const found = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
    if (found.trim() === name) process.kill(Number(pid), "SIGKILL");
  }
}
