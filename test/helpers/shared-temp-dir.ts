/** A folder for all tests of a file, removed after the last. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";

/** Call it at the top of the file; the folder is there from `beforeAll` on. */
export function sharedTempDir(): () => string {
  let dir = "";
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "msb-test-"));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));
  return () => dir;
}
