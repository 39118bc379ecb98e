/** One store and several processes, some of which die. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { hexOf } from "../../../src/oci/digest.js";
import { ImageStore } from "../../../src/oci/store/image-store.js";
import { type MsbPaths, msbPaths } from "../../../src/paths.js";
import { expectedOf, someBytes } from "../../helpers/blobs.js";
import { Program, type ProgramOpts } from "../../helpers/program.js";
import { tempDir } from "../../helpers/temp-dir.js";
import type { Job, Line } from "./store-program.js";

const SIZE_BYTES = 4 * 1024 ** 2;
const ROUNDS = 10;
const bytes = someBytes(SIZE_BYTES);
const blob = expectedOf(bytes);

const start = (paths: MsbPaths, job: Job, opts: ProgramOpts = {}): Program<Line> =>
  Program.start<Line>("store-program.ts", import.meta.url, { ...job, home: paths.home }, opts);

const fetchJob = (isHeld: boolean): Job => ({ job: "fetch", sizeBytes: SIZE_BYTES, isHeld });

/** Is the blob in the store, whole? */
async function isThere(paths: MsbPaths): Promise<boolean> {
  return bytes.equals(await readFile(paths.imageBlob("sha256", hexOf(blob.digest))));
}

/** Every file of the store, below its folder. */
async function filesOf(paths: MsbPaths): Promise<string[]> {
  const entries = await readdir(paths.imageRoot, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files
    .map((entry) => join(entry.parentPath, entry.name).slice(paths.imageRoot.length + 1))
    .toSorted();
}

/** Lines until the one that `wanted` takes, that one included. */
async function until(program: Program<Line>, wanted: (line: Line) => boolean): Promise<Line[]> {
  const lines: Line[] = [];
  do lines.push(await program.line());
  while (!wanted(lines.at(-1)!));
  return lines;
}

describe("processes that want the same blob", () => {
  test("download it once", async () => {
    const paths = msbPaths(await tempDir());
    const first = start(paths, fetchJob(true));
    await until(first, (line) => "opened" in line);
    const second = start(paths, fetchJob(false));
    expect(await second.line()).toEqual({ state: "waiting" });
    first.say("go on");
    await first.succeeds();
    expect(await second.line()).toEqual({ state: "exists" });
    await second.succeeds();
    expect(await filesOf(paths)).toEqual([`blobs/sha256/${hexOf(blob.digest)}`]);
    expect(await isThere(paths)).toBe(true);
  });

  test("go on where one was killed", async () => {
    const paths = msbPaths(await tempDir());
    const first = start(paths, fetchJob(true));
    await until(first, (line) => "opened" in line);
    const second = start(paths, fetchJob(false));
    expect(await second.line()).toEqual({ state: "waiting" });
    const partial = paths.imagePartial("sha256", hexOf(blob.digest));
    await expect.poll(async () => (await stat(partial)).size).toBe(SIZE_BYTES / 2);
    await first.kill();
    const lines = await until(second, (line) => "state" in line && line.state === "done");
    expect(lines).toContainEqual({ opened: SIZE_BYTES / 2 });
    await second.succeeds();
    expect(await isThere(paths)).toBe(true);
  });
});

test("a file that may not become large enough is a full disk, and gives its space back", async () => {
  const paths = msbPaths(await tempDir());
  const program = start(paths, fetchJob(false), { maxFileKiB: 1_500 });
  const lines = await until(program, (line) => "error" in line);
  expect(lines.at(-1)).toEqual({ error: "MSB_ERR_NO_SPACE" });
  await program.succeeds();
  expect(await filesOf(paths)).toEqual([]);
  await start(paths, fetchJob(false)).succeeds();
  expect(await isThere(paths)).toBe(true);
});

/** What is there after an undisturbed pull, and in how many steps it came. */
async function undisturbed(): Promise<{ files: string[]; events: number }> {
  const paths = msbPaths(await tempDir());
  const program = start(paths, { job: "pull", killAt: null });
  const [line] = await until(program, (candidate) => "events" in candidate);
  await program.succeeds();
  const files = await filesOf(paths);
  // Manifest, config, four layers; the name; the disk; the store's lock.
  expect(files).toHaveLength(6 + 1 + 1 + 1);
  return { files, events: (line as { events: number }).events };
}

describe("a pull that is killed at any point of the download or of making the disk", () => {
  test("is gone on with, and nothing else is left", async () => {
    const { files, events } = await undisturbed();
    const points = Array.from({ length: ROUNDS }, () => 1 + Math.floor(Math.random() * events));
    const paths = msbPaths(await tempDir());
    for (const killAt of points) {
      // A prune now and then makes the next one begin anew, so that late points are met, too.
      if (killAt % 3 === 0) await (await ImageStore.open(paths)).prune({ all: true });
      const program = start(paths, { job: "pull", killAt });
      const { exitCode, signal } = await program.exited;
      expect([0, "SIGKILL"], `killed at ${points.join()}`).toContain(exitCode ?? signal);
    }
    await start(paths, { job: "pull", killAt: null }).succeeds();
    const store = await ImageStore.open(paths);
    await store.prune({ all: false });
    expect(await filesOf(paths), `killed at ${points.join()}`).toEqual(files);
    const [image] = await store.list();
    expect(await store.damagedLayers(image!)).toEqual([]);
  });

  test("leaves nothing that a prune does not find", async () => {
    const { events } = await undisturbed();
    for (let round = 0; round < 5; round++) {
      const paths = msbPaths(await tempDir());
      const killAt = 1 + Math.floor((events - 1) * (0.1 + round / 5) * Math.random());
      const program = start(paths, { job: "pull", killAt });
      expect((await program.exited).signal).toBe("SIGKILL");
      const store = await ImageStore.open(paths);
      await store.prune({ all: true });
      expect(await filesOf(paths), `killed at ${killAt}`).toEqual(["lock"]);
    }
  });
});

test("prunes leave alone what another process pulls and holds, and take it when it is let go", async () => {
  const paths = msbPaths(await tempDir());
  const store = await ImageStore.open(paths);
  const program = start(paths, { job: "hold" });
  const state = { isPulled: false };
  const pulled = program.line().then((line) => {
    state.isPulled = true;
    return line;
  });
  let prunes = 0;
  for (; !state.isPulled; prunes++) {
    const pruned = await store.prune({ all: true });
    expect(pruned).toEqual({ names: [], digests: [], freedBytes: 0, warmed: [] });
  }
  expect(prunes).toBeGreaterThan(1);
  expect(await pulled).toEqual({ damaged: 0 });
  await store.prune({ all: true });
  program.say("let go");
  expect(await program.line()).toEqual({ damaged: 0 });
  await program.succeeds();
  expect((await store.prune({ all: true })).digests).toHaveLength(1);
  expect(await filesOf(paths)).toEqual(["lock"]);
});
