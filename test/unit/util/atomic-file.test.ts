import { spawnSync } from "node:child_process";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  createFileAtomic,
  replaceFile,
  sweepTemp,
  tempName,
  writeFileAtomic,
} from "../../../src/util/atomic-file.js";
import { tempDir } from "../../helpers/temp-dir.js";

test("a file is replaced whole, with its mode, in a folder that is made", async () => {
  const path = join(await tempDir(), "a", "b", "file");
  await writeFileAtomic(path, "one", { mode: 0o600 });
  await writeFileAtomic(path, "two", { mode: 0o600 });
  expect(await readFile(path, "utf8")).toBe("two");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(join(path, ".."))).toEqual(["file"]);
});

test("a file is created once, whole, by one of those who try, and never replaced", async () => {
  const path = join(await tempDir(), "a", "file");
  const made = await Promise.all(
    ["0", "1", "2", "3"].map((text) => createFileAtomic(path, text, { mode: 0o600 })),
  );
  expect(made.filter(Boolean)).toHaveLength(1);
  expect(await readFile(path, "utf8")).toBe(String(made.indexOf(true)));
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(join(path, ".."))).toEqual(["file"]);
  await expect(createFileAtomic(join(path, "below"), "x")).rejects.toThrow(/EEXIST|ENOTDIR/);
});

test("a failed write leaves the old file and nothing else", async () => {
  const dir = await tempDir();
  const path = join(dir, "file");
  await writeFileAtomic(path, "old");
  const failing = replaceFile(path, async (file) => {
    await file.writeFile("half");
    throw new Error("no more");
  });
  await expect(failing).rejects.toThrow("no more");
  expect(await readFile(path, "utf8")).toBe("old");
  expect(await readdir(dir)).toEqual(["file"]);
});

test("a hundred writers at once leave one of their texts", async () => {
  const dir = await tempDir();
  const path = join(dir, "file");
  const texts = Array.from({ length: 100 }, (_, index) => `${index}`.repeat(5000));
  await Promise.all(texts.map((text) => writeFileAtomic(path, text)));
  expect(texts).toContain(await readFile(path, "utf8"));
  expect(await readdir(dir)).toEqual(["file"]);
});

test("the sweep takes what dead processes left and nothing else", async () => {
  const dir = await tempDir();
  const dead = spawnSync(process.execPath, ["-e", "0"]).pid;
  const mine = tempName("work");
  const foreign = mine.replace(hostname().replaceAll(/[^A-Za-z0-9-]/g, "-"), "another-host");
  const left = mine.replace(`.${process.pid}.`, `.${dead}.`);
  await mkdir(join(dir, left));
  await writeFile(join(dir, left, "file"), "x");
  for (const name of [mine, foreign, "notes.tmp"]) await writeFile(join(dir, name), "x");
  await sweepTemp(dir);
  expect((await readdir(dir)).toSorted()).toEqual([foreign, mine, "notes.tmp"].toSorted());
});
