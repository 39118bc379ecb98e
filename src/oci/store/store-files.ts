/** Files and folders of the store that may be missing, or somebody else's. */
import { lstat, mkdir, readdir, rm } from "node:fs/promises";
import { FileLock } from "../../native/file-lock.js";
import { errnoOf, fileError } from "../../util/file-error.js";

export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((error: unknown) => {
    throw fileError(error, path, "made");
  });
}

/** The names in a folder, sorted; none when it is not there. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).toSorted();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw fileError(error, folder, "read");
  }
}

/** Bytes of a regular file; undefined when there is none. */
export async function fileSize(path: string): Promise<number | undefined> {
  try {
    const info = await lstat(path);
    return info.isFile() ? info.size : undefined;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw fileError(error, path, "read");
  }
}

/** False when there was none. */
export async function removeFile(path: string): Promise<boolean> {
  try {
    await rm(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw fileError(error, path, "removed");
  }
}

/** Removes a file that nobody holds a lock on. False when somebody does, or it is not there. */
export async function removeIfFree(path: string): Promise<boolean> {
  await using lock = await FileLock.tryAcquire(path, "exclusive", { mustExist: true });
  return lock !== undefined && (await removeFile(path));
}
