/** Files that are either whole or not there: made under another name, synced, then renamed. */
import { randomBytes } from "node:crypto";
import { type FileHandle, link, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { isAlive } from "./pid.js";

/** Temporary files of another host (a shared home folder) are left alone for so long. */
const FOREIGN_STALE_MS = 24 * 3600 * 1000;

/** `<label>.<host>.<pid>.<random>.tmp`: the owner is in the name, so that anyone can sweep up after it. */
export function tempName(label: string): string {
  return `${label}.${hostLabel()}.${process.pid}.${randomBytes(6).toString("hex")}.tmp`;
}

function hostLabel(): string {
  return hostname().replaceAll(/[^A-Za-z0-9-]/g, "-") || "host";
}

/**
 * Lets `fill` write a temporary file beside `path`, then puts it in place of `path`. When `fill` throws,
 * `path` is as it was and nothing is left.
 */
export async function replaceFile<T>(
  path: string,
  fill: (file: FileHandle, tempPath: string) => Promise<T>,
  opts: { mode?: number } = {},
): Promise<T> {
  const tempPath = join(dirname(path), tempName(`.${basename(path)}`));
  const file = await open(tempPath, "wx+", opts.mode ?? 0o644);
  try {
    const result = await fill(file, tempPath);
    await file.sync();
    await file.close();
    await moveIntoPlace(tempPath, path);
    return result;
  } catch (error) {
    await file.close().catch(() => {});
    await rm(tempPath, { force: true });
    throw error;
  }
}

/** Writes `content` to `path` at once; makes the folder if it is missing. */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  opts: { mode?: number } = {},
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await replaceFile(path, (file) => file.writeFile(content), opts);
}

/**
 * Writes `content` to `path` unless there is something, which is left as it is: false then. Of several who try at
 * once one succeeds, and whoever reads the file finds it whole. Makes the folder if it is missing.
 */
export async function createFileAtomic(
  path: string,
  content: string | Uint8Array,
  opts: { mode?: number } = {},
): Promise<boolean> {
  await mkdir(dirname(path), { recursive: true });
  const tempPath = join(dirname(path), tempName(`.${basename(path)}`));
  const file = await open(tempPath, "wx", opts.mode ?? 0o644);
  try {
    await file.writeFile(content);
    await file.sync();
    await link(tempPath, path);
    await syncFolder(dirname(path));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    await file.close();
    await rm(tempPath, { force: true });
  }
}

/** Renames within one file system and makes the new name durable. */
export async function moveIntoPlace(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncFolder(dirname(to));
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } catch (error) {
    // Some file systems cannot sync a folder; the rename is then as durable as it gets.
    if (!["EINVAL", "ENOTSUP"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  } finally {
    await folder.close();
  }
}

/** Removes what `tempName` names in `folder` and whose process is gone. */
export async function sweepTemp(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const path = join(folder, name);
    if (await isStale(name, path)) await rm(path, { recursive: true, force: true });
  }
}

async function isStale(name: string, path: string): Promise<boolean> {
  const owner = /\.([A-Za-z0-9-]+)\.(\d+)\.[0-9a-f]{12}\.tmp$/.exec(name);
  if (owner === null) return false;
  if (owner[1] === hostLabel()) return !isAlive(Number(owner[2]));
  const info = await stat(path).catch(() => undefined);
  return info !== undefined && Date.now() - info.mtimeMs > FOREIGN_STALE_MS;
}
