/** Locks between processes, however these end. */
import { writeFileSync } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { fileURLToPath } from "node:url";
import { FileLock } from "../../../src/native/file-lock.js";
import { Program } from "../../helpers/program.js";
import { tempDir } from "../../helpers/temp-dir.js";

const addon = fileURLToPath(new URL("../../../build/Release/msb.node", import.meta.url));
const start = (path: string, mode: string, job: string): Program<string> =>
  Program.start<string>("lock-program.ts", import.meta.url, { path, mode, job });

describe("a lock that another process holds", () => {
  test("is waited for and comes when that process is killed", async () => {
    const path = join(await tempDir(), "lock");
    const holder = start(path, "exclusive", "hold");
    expect(await holder.line()).toBe("locked");
    expect(await FileLock.tryAcquire(path, "shared")).toBeUndefined();
    const waiting = FileLock.acquire(path, "exclusive");
    await holder.kill();
    await using lock = await waiting;
    expect(lock.path).toBe(path);
  });

  test("is shared with readers only", async () => {
    const path = join(await tempDir(), "lock");
    const holder = start(path, "shared", "hold");
    expect(await holder.line()).toBe("locked");
    await using reader = await FileLock.tryAcquire(path, "shared");
    expect(reader).toBeDefined();
    expect(await FileLock.tryAcquire(path, "exclusive")).toBeUndefined();
    holder.say("go");
    await holder.succeeds();
  });

  test("is gone with the process that forgot to release it", async () => {
    const path = join(await tempDir(), "lock");
    const holder = start(path, "exclusive", "forget");
    expect(await holder.line()).toBe("locked");
    await holder.succeeds();
    await using lock = await FileLock.tryAcquire(path, "exclusive");
    expect(lock).toBeDefined();
  });

  test("lets a process end that has given up waiting for it", async () => {
    const path = join(await tempDir(), "lock");
    await using _lock = await FileLock.acquire(path, "exclusive");
    const waiter = start(path, "exclusive", "abort");
    expect(await waiter.line()).toBe("waiting");
    waiter.say("abort");
    expect(await waiter.line()).toBe("MSB_ERR_ABORTED");
    await waiter.succeeds();
  });

  test("is not handed to those who wait when the file is removed: they get the new file", async () => {
    const path = join(await tempDir(), "lock");
    const holder = start(path, "exclusive", "hold");
    expect(await holder.line()).toBe("locked");
    const waiting = FileLock.acquire(path, "exclusive");
    await rm(path);
    writeFileSync(path, "new");
    await holder.kill();
    await using _lock = await waiting;
    expect((await stat(path)).size).toBe(3);
    expect(await FileLock.tryAcquire(path, "exclusive")).toBeUndefined();
  });
});

test("a Worker that is terminated loses its locks and its waits, and the process goes on", async () => {
  const dir = await tempDir();
  const held = join(dir, "held");
  const wanted = join(dir, "wanted");
  const mine = await FileLock.acquire(wanted, "exclusive");
  for (let round = 0; round < 5; round++) {
    const worker = new Worker(
      `const native = require(${JSON.stringify(addon)});
       native.tryLockFile(${JSON.stringify(held)}, "exclusive", "any").then((lock) => {
         globalThis.lock = lock;
         native.waitForFileLock(${JSON.stringify(wanted)}, "exclusive");
         require("node:worker_threads").parentPort.postMessage("locked");
       });
       setInterval(() => {}, 1000);`,
      { eval: true },
    );
    await once(worker, "message");
    expect(await FileLock.tryAcquire(held, "exclusive")).toBeUndefined();
    await worker.terminate();
    await (await FileLock.acquire(held, "exclusive")).release();
  }
  await mine.release();
  // The orphaned waits take it one after the other and let it go.
  await (await FileLock.acquire(wanted, "exclusive")).release();
});
