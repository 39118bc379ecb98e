import { mkdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { MsbError } from "../../../src/errors.js";
import { FileLock } from "../../../src/native/file-lock.js";
import { tempDir } from "../../helpers/temp-dir.js";

const lockPath = async (): Promise<string> => join(await tempDir(), "lock");

test("two holders in one process stand in each other's way", async () => {
  const path = await lockPath();
  const one = await FileLock.acquire(path, "exclusive");
  expect(await FileLock.tryAcquire(path, "exclusive")).toBeUndefined();
  let isReleased = false;
  const two = FileLock.acquire(path, "exclusive").then((lock) => {
    expect(isReleased).toBe(true);
    return lock;
  });
  isReleased = true;
  await one.release();
  await one.release();
  await (await two).release();
});

test("a lock is exclusive among many, and comes to each of them", async () => {
  const path = await lockPath();
  let inside = 0;
  let turns = 0;
  await Promise.all(
    Array.from({ length: 30 }, async () => {
      await using _lock = await FileLock.acquire(path, "exclusive");
      expect(++inside).toBe(1);
      await stat(path);
      turns++;
      inside--;
    }),
  );
  expect(turns).toBe(30);
});

test("an aborted wait ends at once, and its lock is let go when it comes", async () => {
  const path = await lockPath();
  const holder = await FileLock.acquire(path, "exclusive");
  const controller = new AbortController();
  const waiting = FileLock.acquire(path, "exclusive", { signal: controller.signal });
  controller.abort();
  await expect(waiting).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
  await holder.release();
  await (await FileLock.acquire(path, "exclusive")).release();
});

test("waits that are aborted again and again do not pile up threads", async () => {
  const path = await lockPath();
  await using _holder = await FileLock.acquire(path, "exclusive");
  const threads = (): number => readdirSync("/proc/self/task").length;
  const abortOne = async (): Promise<void> => {
    const controller = new AbortController();
    const waiting = FileLock.acquire(path, "exclusive", { signal: controller.signal });
    // Its own look whether the lock is free comes first; the wait has begun after that.
    await FileLock.tryAcquire(path, "exclusive");
    await FileLock.tryAcquire(path, "exclusive");
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
  };
  await abortOne();
  const before = threads();
  for (let round = 0; round < 20; round++) await abortOne();
  expect(threads()).toBeLessThanOrEqual(before + 1);
});

test("a signal that is aborted before ends it before the file is made", async () => {
  const path = await lockPath();
  const reason = new MsbError("MSB_ERR_REQUEST_TIMEOUT", "late");
  const waiting = FileLock.acquire(path, "shared", { signal: AbortSignal.abort(reason) });
  await expect(waiting).rejects.toBe(reason);
  await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });
});

test("a lock of an existing file does not make one", async () => {
  const path = await lockPath();
  expect(await FileLock.tryAcquire(path, "exclusive", { mustExist: true })).toBeUndefined();
  await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });
  await writeFile(path, "x");
  await using lock = await FileLock.tryAcquire(path, "exclusive", { mustExist: true });
  expect(lock).toBeDefined();
});

test("a file that its holder removed is locked anew by the next", async () => {
  const path = await lockPath();
  const one = await FileLock.acquire(path, "exclusive");
  const two = FileLock.acquire(path, "exclusive");
  await rm(path);
  await one.release();
  await using _two = await two;
  expect((await stat(path)).isFile()).toBe(true);
  expect(await FileLock.tryAcquire(path, "exclusive")).toBeUndefined();
});

test("links and folders are not locked, and a missing folder is named", async () => {
  const dir = await tempDir();
  await symlink(join(dir, "target"), join(dir, "link"));
  await mkdir(join(dir, "folder"));
  for (const name of ["link", "folder", "missing/lock"]) {
    const path = join(dir, name);
    await expect(FileLock.acquire(path, "exclusive")).rejects.toMatchObject({
      code: "MSB_ERR_HOME_UNUSABLE",
      message: expect.stringContaining(path),
    });
  }
});
