/**
 * The lock of the whole store. Those who add a name or a pin hold it shared, for the moment that takes; a prune
 * holds it exclusive while it looks at names and pins and removes what they leave. Nothing is downloaded under it,
 * and nobody who holds it waits for a partial file: those who write one wait for this lock.
 */
import { FileLock, type LockMode } from "../../native/file-lock.js";
import type { MsbPaths } from "../../paths.js";
import { makeFolder } from "./store-files.js";

export async function withStoreLock<T>(
  paths: MsbPaths,
  mode: LockMode,
  work: () => Promise<T>,
): Promise<T> {
  await makeFolder(paths.imageRoot);
  await using _lock = await FileLock.acquire(paths.imageLock, mode);
  return await work();
}
