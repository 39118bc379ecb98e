/** A folder for one test, removed after it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

export async function tempDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "msb-test-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  return dir;
}
