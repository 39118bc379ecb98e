/**
 * One server for an MSB_HOME. The flock on `server.lock` is the truth, for the kernel drops it with its holder;
 * `server.json` only says who that is, and counts while the lock is held by the process that it names.
 */
import { mkdir, rm, stat } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { isMsbError, MsbError } from "../../errors.js";
import { FileLock } from "../../native/file-lock.js";
import type { MsbPaths } from "../../paths.js";
import { errnoOf, fileError } from "../../util/file-error.js";
import { identityOf } from "../../native/process-identity.js";
import { readServerFile, type ServerProcess, writeServerFile } from "./server-process.js";

/** Who only looks holds the lock for a moment. */
const LOOKERS_MS = 1_000;
/** Between taking the lock and writing the file. */
const CLAIM_MS = 250;

export type FoundServer =
  | { readonly state: "none" }
  | { readonly state: "starting" | "running"; readonly process: ServerProcess }
  /** Somebody holds the lock, and it is no process that can be seen from here. */
  | { readonly state: "unknown" };

/** Who serves this MSB_HOME now. Throws MSB_ERR_HOME_UNUSABLE. */
export async function findServer(paths: MsbPaths): Promise<FoundServer> {
  if (!(await isHeld(paths))) return { state: "none" };
  const process = (await readServerFile(paths)) ?? (await readLater(paths));
  if (process !== undefined) {
    return { state: process.url === null ? "starting" : "running", process };
  }
  return (await isHeld(paths)) ? { state: "unknown" } : { state: "none" };
}

async function readLater(paths: MsbPaths): Promise<ServerProcess | undefined> {
  await delay(CLAIM_MS);
  return readServerFile(paths);
}

async function isHeld(paths: MsbPaths): Promise<boolean> {
  try {
    await stat(paths.serverLock);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) return false;
    throw fileError(error, paths.serverLock, "looked at");
  }
  const lock = await FileLock.tryAcquire(paths.serverLock, "shared", { mustExist: true });
  await lock?.release();
  return lock === undefined;
}

/** Resolves when no server is left; throws what `signal` aborts with. */
export async function serverEnds(paths: MsbPaths, signal: AbortSignal): Promise<void> {
  const lock = await FileLock.acquire(paths.serverLock, "shared", { signal });
  await lock.release();
}

/** Throws MSB_ERR_SERVER_RUNNING (see ServerLock.acquire). */
export async function requireNoServer(paths: MsbPaths): Promise<void> {
  const found = await findServer(paths);
  if (found.state !== "none") throw serverRunning(paths, found);
}

/** What a server says about itself when it begins. */
export type ServerClaim = Pick<ServerProcess, "isDev" | "version" | "logFile" | "keyFile">;

export class ServerLock implements AsyncDisposable {
  #process: ServerProcess;

  private constructor(
    private readonly paths: MsbPaths,
    private readonly lock: FileLock,
    process: ServerProcess,
  ) {
    this.#process = process;
  }

  get process(): ServerProcess {
    return this.#process;
  }

  /** Throws MSB_ERR_SERVER_RUNNING (details: pid, url, address, isDev of the other), MSB_ERR_HOME_UNUSABLE. */
  static async acquire(paths: MsbPaths, claim: ServerClaim): Promise<ServerLock> {
    await mkdir(paths.home, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
      throw fileError(error, paths.home, "made");
    });
    const lock = await lockAlone(paths);
    try {
      const self: ServerProcess = {
        ...identityOf(process.pid),
        address: null,
        url: null,
        startedAt: new Date().toISOString(),
        ...claim,
      };
      await writeServerFile(paths, self);
      return new ServerLock(paths, lock, self);
    } catch (error) {
      await lock.release();
      throw fileError(error, paths.serverFile, "written");
    }
  }

  /** Tells everybody where the server is. */
  async announce(where: { readonly address: string; readonly url: string }): Promise<void> {
    this.#process = { ...this.#process, ...where };
    await writeServerFile(this.paths, this.#process).catch((error: unknown) => {
      throw fileError(error, this.paths.serverFile, "written");
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Before the lock, or it would be the file of the next server.
    await rm(this.paths.serverFile, { force: true }).catch(() => {});
    await this.lock.release();
  }
}

async function lockAlone(paths: MsbPaths): Promise<FileLock> {
  const free = await FileLock.tryAcquire(paths.serverLock, "exclusive");
  if (free !== undefined) return free;
  const found = await findServer(paths);
  if (found.state === "starting" || found.state === "running") throw serverRunning(paths, found);
  const signal = AbortSignal.timeout(LOOKERS_MS);
  try {
    return await FileLock.acquire(paths.serverLock, "exclusive", { signal });
  } catch (error) {
    if (!isMsbError(error, "MSB_ERR_ABORTED")) throw error;
    throw serverRunning(paths, await findServer(paths));
  }
}

function serverRunning(paths: MsbPaths, found: FoundServer): MsbError {
  const process = "process" in found ? found.process : undefined;
  const where = process?.url == null ? "which is about to start" : `at ${process.url}`;
  const who =
    process === undefined
      ? "Another server, in another container or of another user,"
      : `A server, process ${process.pid} ${where},`;
  return new MsbError(
    "MSB_ERR_SERVER_RUNNING",
    `${who} works with ${paths.home} already. Use it, end it with \`msb-ts server stop\`, or set MSB_HOME to ` +
      "another folder for a second one.",
    {
      details: {
        home: paths.home,
        pid: process?.pid ?? null,
        url: process?.url ?? null,
        address: process?.address ?? null,
        isDev: process?.isDev ?? null,
      },
    },
  );
}
