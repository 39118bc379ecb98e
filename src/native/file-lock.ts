/**
 * Locks between processes: flock(2) on a file. A lock belongs to one opened file, so two holders in one process
 * stand in each other's way as two processes do, and the kernel drops it when the process ends, however it ends.
 */
import { getSystemErrorName } from "node:util";
import { abortable, throwIfAborted } from "../util/async.js";
import { fileError } from "../util/file-error.js";
import {
  loadNative,
  type LockMode,
  type NativeError,
  type NativeFileLock,
  type NativeLockWait,
} from "./binding.js";

export type { LockMode } from "./binding.js";

/**
 * Waits that nobody waits for any more, by path and mode. Nothing can call a thread back that is blocked in
 * flock(2), so the next one who wants the same takes the wait over: however often waits are aborted, there is
 * never more than one thread for each that was under way at once. A lock that comes while nobody wants it is let
 * go at once. Such threads keep neither the event loop nor the process from ending.
 */
const abandoned = new Map<string, Set<NativeLockWait>>();

/** Nothing else may refer to a lock while it is held; without this, garbage collection would let it go. */
const held = new Set<FileLock>();

export class FileLock implements AsyncDisposable {
  readonly #native: NativeFileLock;

  private constructor(
    readonly path: string,
    native: NativeFileLock,
  ) {
    this.#native = native;
    held.add(this);
  }

  /**
   * Waits until nobody holds `path` in the way of `mode`; makes the file if it is not there. What is locked is
   * the file that `path` names at the end: a holder may remove it. There is no queue: who waits longest need not
   * be the next. Throws MSB_ERR_ABORTED at once when the signal aborts, MSB_ERR_NO_SPACE, MSB_ERR_HOME_UNUSABLE.
   */
  static async acquire(
    path: string,
    mode: LockMode,
    opts: { signal?: AbortSignal | undefined } = {},
  ): Promise<FileLock> {
    const what = `Waiting for the lock ${path}`;
    throwIfAborted(opts.signal, what);
    const free = await FileLock.tryAcquire(path, mode);
    if (free !== undefined) return free;
    const key = `${mode} ${path}`;
    const wait = takeAbandoned(key) ?? loadNative().waitForFileLock(path, mode);
    wait.ref();
    try {
      return new FileLock(path, await abortable(wait.acquired, opts.signal, what));
    } catch (error) {
      abandon(key, wait);
      throw translate(error, path);
    }
  }

  /**
   * The lock if nobody is in the way now. With `mustExist` also undefined when there is no file, which is
   * otherwise made. Throws MSB_ERR_NO_SPACE, MSB_ERR_HOME_UNUSABLE.
   */
  static async tryAcquire(
    path: string,
    mode: LockMode,
    opts: { mustExist?: boolean } = {},
  ): Promise<FileLock | undefined> {
    try {
      const target = opts.mustExist === true ? "existing" : "any";
      const native = await loadNative().tryLockFile(path, mode, target);
      return native === null ? undefined : new FileLock(path, native);
    } catch (error) {
      throw translate(error, path);
    }
  }

  /** The file stays. The second call does nothing. */
  async release(): Promise<void> {
    held.delete(this);
    this.#native.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

function takeAbandoned(key: string): NativeLockWait | undefined {
  const [wait] = abandoned.get(key) ?? [];
  if (wait !== undefined) forget(key, wait);
  return wait;
}

function abandon(key: string, wait: NativeLockWait): void {
  wait.unref();
  const waits = abandoned.get(key) ?? new Set();
  abandoned.set(key, waits.add(wait));
  wait.acquired.then(
    (lock) => {
      if (forget(key, wait)) lock.release();
    },
    () => forget(key, wait),
  );
}

/** False when it was no longer there. */
function forget(key: string, wait: NativeLockWait): boolean {
  const waits = abandoned.get(key);
  const isThere = waits?.delete(wait) ?? false;
  if (waits?.size === 0) abandoned.delete(key);
  return isThere;
}

function translate(error: unknown, path: string): unknown {
  const { code, errno, operation } = error as NativeError;
  if (code !== "MSB_NATIVE" || errno === undefined) return error;

  const systemError = Object.assign(new Error((error as Error).message), {
    code: getSystemErrorName(-errno),
    syscall: operation,
  });
  return fileError(systemError, path, "locked");
}
