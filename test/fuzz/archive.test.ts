/** Hostile archives: whatever the bytes are, a clear error or an image, and nothing outside of the store. */
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { isMsbError } from "../../src/errors.js";
import { loadArchive } from "../../src/oci/archive/load.js";
import { digestOf, hexOf } from "../../src/oci/digest.js";
import { BlobStore } from "../../src/oci/store/blob-store.js";
import { type MsbPaths, msbPaths } from "../../src/paths.js";
import { dockerEntries, layerTar, layoutEntries, testImage } from "../helpers/archives.js";
import { chunked, type EntrySpec, tar, tarEntry } from "../helpers/tar-builder.js";
import { tempDir } from "../helpers/temp-dir.js";

const RUNS = Number(process.env["MSB_FUZZ_ARCHIVES"] ?? 500);

const layout = layoutEntries(testImage(), "app:1");
const docker = dockerEntries([layerTar("a"), gzipSync(layerTar("b"))], {
  tags: ["app:1"],
  diffIds: [digestOf(layerTar("a")), digestOf(layerTar("b"))],
});
const SEEDS = [tar(layout), tar(docker), gzipSync(tar(layout)), tar([...docker, ...layout])];

interface Outcome {
  readonly loaded: boolean;
  /** Of the error; empty without one. */
  readonly message: string;
  /** Beside the store. */
  readonly strangers: readonly string[];
  /** In the store, and not a blob at its place. */
  readonly spoilt: readonly string[];
}

async function outcomeOf(dir: string, archive: Buffer): Promise<Outcome> {
  const paths = msbPaths(join(dir, "home"));
  const store = new BlobStore(paths);
  const platform = { os: "linux", architecture: "amd64" };
  let message = "";
  try {
    const opts = { store, tempDir: paths.tempDir, platform };
    const images = await loadArchive(chunked(archive, 4096), opts);
    for (const { manifest } of images) {
      if (!(await store.has(manifest))) throw new Error("an image is not in the store");
    }
  } catch (error) {
    if (!isMsbError(error) || error.code === "MSB_ERR_INTERNAL") throw error;
    ({ message } = error);
  }
  const strangers = (await readdir(dir)).filter((name) => name !== "home");
  const spoilt = await spoiltFiles(paths);
  await rm(paths.home, { recursive: true, force: true });
  return { loaded: message === "", message, strangers, spoilt };
}

async function spoiltFiles({ home, imageBlob }: MsbPaths): Promise<string[]> {
  const entries = await readdir(home, { recursive: true, withFileTypes: true }).catch(() => []);
  const spoilt: string[] = [];
  for (const entry of entries) {
    if (entry.isDirectory()) continue;
    const path = join(entry.parentPath, entry.name);
    const isGood = path === imageBlob("sha256", hexOf(digestOf(await readFile(path))));
    if (!isGood) spoilt.push(path);
  }
  return spoilt;
}

/** Loads or refuses, in words that can be printed, and leaves nothing that should not be there. */
async function check(dir: string, archive: Buffer): Promise<boolean> {
  const { loaded, message, strangers, spoilt } = await outcomeOf(dir, archive);
  expect({ strangers, spoilt }).toEqual({ strangers: [], spoilt: [] });
  expect(message).toMatch(/^[^\p{Cc}]{0,2000}$/u);
  return loaded;
}

async function inFolder(): Promise<string> {
  const dir = join(await tempDir(), "dir");
  await mkdir(dir);
  return dir;
}

test("mutated archives", async () => {
  const dir = await inFolder();
  const mutation = fc.record({
    seed: fc.constantFrom(...SEEDS),
    cut: fc.option(fc.nat(), { freq: 6 }),
    edits: fc.array(fc.record({ at: fc.nat(), with: fc.uint8Array({ maxLength: 12 }) }), {
      maxLength: 4,
    }),
  });
  const seen = new Set<boolean>();
  await fc.assert(
    fc.asyncProperty(mutation, async ({ seed, cut, edits }) => {
      const bytes = Buffer.from(seed);
      for (const edit of edits) Buffer.from(edit.with).copy(bytes, edit.at % bytes.length);
      const length = cut === null ? bytes.length : cut % bytes.length;
      seen.add(await check(dir, bytes.subarray(0, length)));
    }),
    { numRuns: RUNS, seed: 1 },
  );
  expect(seen).toEqual(new Set([true, false]));
});

test("entries of any name, type, size and link between good ones", async () => {
  const dir = await inFolder();
  const part = fc.constantFrom(
    "..",
    ".",
    "",
    "a",
    "blobs",
    "index.json",
    "manifest.json",
    "\0",
    "\n",
    "é",
  );
  const name = fc.array(part, { maxLength: 5 }).map((parts) => parts.join("/"));
  const entry = fc.record<EntrySpec>({
    path: name,
    type: fc.constantFrom(..."01234567xgLKSV", "\0"),
    linkPath: name,
    data: fc.constantFrom("", "x", "11 path=/x\n", "30 size=99999999999999999\n", "{}"),
  });
  const seen = new Set<boolean>();
  await fc.assert(
    fc.asyncProperty(
      fc.array(entry, { maxLength: 4 }),
      fc.constantFrom(layout, docker),
      async (entries, good) => {
        const archive = Buffer.concat([...entries.map(tarEntry), tar(good)]);
        seen.add(await check(dir, archive));
      },
    ),
    { numRuns: RUNS, seed: 2 },
  );
  expect(seen).toEqual(new Set([true, false]));
});

test("tables and indexes of any JSON", async () => {
  const dir = await inFolder();
  const seen = new Set<boolean>();
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("index.json", "manifest.json", "oci-layout"),
      fc.oneof(
        fc.json(),
        fc
          .anything({ maxDepth: 3 })
          .map((value) => JSON.stringify([{ Config: value, RepoTags: value, Layers: [value] }])),
        fc.anything({ maxDepth: 3 }).map((value) =>
          JSON.stringify({
            schemaVersion: 2,
            manifests: [{ digest: value, annotations: value }],
          }),
        ),
      ),
      async (path, data) => {
        const rest = layout.filter((entry) => entry.path !== path);
        seen.add(await check(dir, tar([{ path, data: data ?? "null" }, ...rest])));
      },
    ),
    { numRuns: RUNS, seed: 3 },
  );
  // A manifest.json beside a good index.json is not asked.
  expect(seen).toEqual(new Set([true, false]));
});
