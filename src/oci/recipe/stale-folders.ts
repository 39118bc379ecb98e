/**
 * Folders for temporary files whose tool was killed with all that would have removed them (`owned-tool.ts`). Who is at
 * work in one has its lock, and so has everything it has started.
 */
import { lstat, readdir, readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import { FileLock } from "../../native/file-lock.js";
import { runTool, type ToolResult } from "../../util/process.js";
import { FOLDER_PREFIX, LOCK_NAME } from "./owned-tool.js";

/** Between the making of a folder and its lock. */
const CLAIM_MS = 10_000;
/** A folder that never got one. */
const UNLOCKED_STALE_MS = 24 * 3600 * 1000;
const REMOVE = ["-rf", "--one-file-system", "--"];

export interface SweepFoldersOpts {
  /** Enters the namespace in which files of users other than this one are made; not needed by root. */
  readonly unshareHelper?: readonly [path: string, ...args: string[]];
  /** As /proc/self/mountinfo, which is the default. */
  readonly readMounts?: () => Promise<string>;
}

/** Removes those in `tempDir` that are this user's and nobody's work. What cannot be removed stays; never throws. */
export async function sweepRecipeFolders(
  tempDir: string,
  opts: SweepFoldersOpts = {},
): Promise<void> {
  const names = await readdir(tempDir).catch(() => []);
  for (const name of names.filter((one) => one.startsWith(FOLDER_PREFIX))) {
    await sweepFolder(join(tempDir, name), opts).catch(() => {});
  }
}

async function sweepFolder(folder: string, opts: SweepFoldersOpts): Promise<void> {
  const info = await lstat(folder);
  const ageMs = Date.now() - info.mtimeMs;
  if (!info.isDirectory() || info.uid !== process.getuid?.() || ageMs < CLAIM_MS) return;
  const path = join(folder, LOCK_NAME);
  await using lock = await FileLock.tryAcquire(path, "exclusive", { mustExist: true });
  if (lock === undefined && (ageMs < UNLOCKED_STALE_MS || (await exists(path)))) return;
  if (await hasMounts(folder, opts)) return;
  await remove(folder, opts);
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** The tool's own mounts are seen by nobody else, so this is somebody's who knows why. */
async function hasMounts(folder: string, opts: SweepFoldersOpts): Promise<boolean> {
  const { readMounts = () => readFile("/proc/self/mountinfo", "utf8") } = opts;
  const inside = octal(`${await realpath(folder)}/`);
  const points = (await readMounts()).split("\n").map((line) => line.split(" ")[4] ?? "");
  return points.some((point) => `${point}/`.startsWith(inside));
}

/** As the kernel writes paths there. */
function octal(path: string): string {
  return path.replaceAll(
    /[ \t\n\\]/g,
    (letter) => `\\${letter.charCodeAt(0).toString(8).padStart(3, "0")}`,
  );
}

async function remove(folder: string, { unshareHelper }: SweepFoldersOpts): Promise<void> {
  const { exitCode } = await rm([folder]);
  if (exitCode === 0 || unshareHelper === undefined) return;
  // Its root may empty the folders it has made; they themselves are in one of this user's.
  const [path, ...args] = unshareHelper;
  const made = (await readdir(folder)).map((name) => join(folder, name));
  await runTool(path, [...args, "rm", ...REMOVE, ...made]);
  await rm([folder]);
}

function rm(paths: readonly string[]): Promise<ToolResult> {
  return runTool("rm", [...REMOVE, ...paths]);
}
