/** Upper disks: what a microVM writes, one sparse ext4 file of a fixed size each. */
import { mkdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { MsbError } from "../errors.js";
import { loadNative } from "../native/binding.js";
import type { MsbPaths } from "../paths.js";
import { SingleFlight, throwIfAborted } from "../util/async.js";
import { moveIntoPlace, replaceFile, tempName } from "../util/atomic-file.js";
import { findExecutable, runTool } from "../util/process.js";
import { spaceError } from "./disk-error.js";

export const MIN_UPPER_BYTES = 16 * 1024 ** 2;
export const MAX_UPPER_BYTES = 16 * 1024 ** 4;
const BLOCK_BYTES = 4096;
const MKFS_TIMEOUT_MS = 120_000;

/** Copies the extents of `src` that hold data. */
export type CloneSparse = (
  src: string,
  dst: string,
) => Promise<{ sizeBytes: number; dataBytes: number }>;

export interface CreateUpperDiskOpts {
  /** The limit of what the guest can write, file system overhead included. */
  readonly sizeBytes: number;
  readonly paths: MsbPaths;
  /** Default: the addon's. */
  readonly clone?: CloneSparse;
  readonly signal?: AbortSignal;
}

const flights = new SingleFlight<string>();

/**
 * Makes an empty ext4 disk at `path`, which must not exist. Throws MSB_ERR_INVALID_ARGUMENT, MSB_ERR_NO_SPACE,
 * MSB_ERR_TOOL_MISSING; leaves nothing behind when it does.
 */
export async function createUpperDisk(path: string, opts: CreateUpperDiskOpts): Promise<void> {
  const { sizeBytes, paths } = opts;
  checkSize(sizeBytes);
  const template = await flights.run(`${paths.home}\n${sizeBytes}`, () =>
    ensureTemplate(sizeBytes, paths),
  );
  throwIfAborted(opts.signal, "Making the upper disk");
  if ((await stat(path).catch(() => undefined)) !== undefined) {
    throw new MsbError(
      "MSB_ERR_INVALID_ARGUMENT",
      `path cannot be ${path}: that file exists, and a new upper disk replaces nothing.`,
      { details: { option: "path", path } },
    );
  }
  const temp = join(dirname(path), tempName(".upper"));
  try {
    await mkdir(dirname(path), { recursive: true });
    await (opts.clone ?? loadNative().cloneSparse)(template, temp);
    await moveIntoPlace(temp, path);
  } catch (error) {
    await rm(temp, { force: true });
    throw spaceError(error, path, sizeBytes);
  }
}

/** Throws MSB_ERR_INVALID_ARGUMENT. */
function checkSize(sizeBytes: number): void {
  const isGood =
    Number.isSafeInteger(sizeBytes) &&
    sizeBytes >= MIN_UPPER_BYTES &&
    sizeBytes <= MAX_UPPER_BYTES &&
    sizeBytes % BLOCK_BYTES === 0;
  if (isGood) return;
  throw new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    `sizeBytes cannot be ${sizeBytes}: use a multiple of ${BLOCK_BYTES} ` +
      `from ${MIN_UPPER_BYTES} (16 MiB) to ${MAX_UPPER_BYTES} (16 TiB).`,
    { details: { option: "sizeBytes", value: sizeBytes } },
  );
}

async function ensureTemplate(sizeBytes: number, paths: MsbPaths): Promise<string> {
  const path = paths.upperTemplate(sizeBytes);
  const info = await stat(path).catch(() => undefined);
  if (info?.isFile() && info.size === sizeBytes) return path;
  const mkfs = await findExecutable("mkfs.ext4");
  if (mkfs === undefined) throw mkfsMissing();
  try {
    await mkdir(dirname(path), { recursive: true });
    await replaceFile(path, async (file, tempPath) => {
      await file.truncate(sizeBytes);
      await format(mkfs, tempPath, sizeBytes);
    });
  } catch (error) {
    throw spaceError(error, path, sizeBytes);
  }
  return path;
}

/** No journal: the disk lives as long as its VM, and a journal would cost 64 MiB of it. */
async function format(mkfs: string, path: string, sizeBytes: number): Promise<void> {
  const extended = "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0";
  const result = await runTool(
    mkfs,
    ["-q", "-F", "-b", `${BLOCK_BYTES}`, "-m", "0", "-E", extended, "-O", "^has_journal", path],
    { timeoutMs: MKFS_TIMEOUT_MS, env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" } },
  );
  if (result.exitCode === 0) return;
  if (/no space left/i.test(result.stderr)) {
    throw Object.assign(new Error(result.stderr.trim()), { code: "ENOSPC" });
  }
  throw new MsbError(
    "MSB_ERR_INTERNAL",
    `${mkfs} could not format an upper disk of ${sizeBytes} bytes ` +
      `(exit ${result.exitCode ?? result.signal}): ${result.stderr.trim() || "it gave no reason"}`,
    { details: { exitCode: result.exitCode, stderr: result.stderr } },
  );
}

function mkfsMissing(): MsbError {
  return new MsbError(
    "MSB_ERR_TOOL_MISSING",
    "mkfs.ext4 is not installed, and upper disks need it. On Debian and Ubuntu: apt-get install e2fsprogs; " +
      "on macOS: brew install e2fsprogs.",
    { details: { tool: "mkfs.ext4", package: "e2fsprogs" } },
  );
}
