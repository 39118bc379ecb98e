/** Reading the log of a server: its last lines, and those that come, across rotations. */
import { type FSWatcher, watch } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { errnoOf, fileError } from "../../util/file-error.js";

const CHUNK_BYTES = 64 * 1024;
/** A line that is longer is given in pieces: somebody may write to the file who knows no lines. */
const MAX_LINE_BYTES = 1024 ** 2;

export interface ReadLogOpts {
  /** The path of a generation; see RotatingFile. */
  readonly path: (generation: number) => string;
  /** How many of the last lines come first. */
  readonly lines: number;
  /** Goes on with what comes, until `signal` aborts. */
  readonly follow?: boolean;
  readonly signal: AbortSignal;
}

/** Lines without their ends; none when there is no log. Throws MSB_ERR_HOME_UNUSABLE. */
export async function* readLog(opts: ReadLogOpts): AsyncGenerator<string, void, undefined> {
  const changes = opts.follow ? new Changes(opts.path(0), opts.signal) : undefined;
  let log: OpenLog | undefined;
  try {
    log = await openLog(opts.path(0));
    const last = log === undefined ? [] : await lastLines(log, opts.lines);
    yield* (await olderLines(opts, opts.lines - last.length)).concat(last);
    if (changes === undefined) return;
    while (await changes.next()) {
      for (;;) {
        if (log !== undefined) yield* log.lines();
        const next = await openNext(log, opts.path);
        if (next === undefined) break;
        // What came between the last look and the rotation.
        if (log !== undefined) yield* log.lines();
        await log?.close();
        log = next;
      }
    }
  } finally {
    changes?.close();
    await log?.close();
  }
}

/** A generation of the log, which may grow and change its name meanwhile. */
class OpenLog {
  #position = 0;
  #rest = Buffer.alloc(0);

  constructor(
    private readonly file: FileHandle,
    /** Names it in errors. */
    private readonly path: string,
    private readonly inode: number,
  ) {}

  /** Those that came since the last call, each whole. */
  async *lines(): AsyncGenerator<string, void, undefined> {
    for (;;) {
      const buffer = Buffer.alloc(CHUNK_BYTES);
      const bytesRead = await this.#read(buffer);
      if (bytesRead === 0) return;
      this.#position += bytesRead;
      let bytes = Buffer.concat([this.#rest, buffer.subarray(0, bytesRead)]);
      for (let end = bytes.indexOf(0x0a); end !== -1; end = bytes.indexOf(0x0a)) {
        yield bytes.subarray(0, end).toString();
        bytes = bytes.subarray(end + 1);
      }
      this.#rest = bytes;
      if (bytes.length > MAX_LINE_BYTES) {
        yield bytes.toString();
        this.#rest = Buffer.alloc(0);
      }
    }
  }

  async isAt(path: string): Promise<boolean> {
    return (await inodeAt(path)) === this.inode;
  }

  close(): Promise<void> {
    return this.file.close();
  }

  async #read(buffer: Buffer): Promise<number> {
    try {
      return (await this.file.read(buffer, 0, buffer.length, this.#position)).bytesRead;
    } catch (error) {
      throw fileError(error, this.path, "read");
    }
  }
}

/** Reads to the end; memory is bounded by the size of a generation. */
async function lastLines(log: OpenLog, count: number): Promise<readonly string[]> {
  let kept: string[] = [];
  for await (const line of log.lines()) {
    kept.push(line);
    if (kept.length > 2 * count + 1) kept = kept.slice(kept.length - count);
  }
  return count <= 0 ? [] : kept.slice(-count);
}

async function olderLines(opts: ReadLogOpts, count: number): Promise<readonly string[]> {
  let older: readonly string[] = [];
  for (let generation = 1; older.length < count; generation++) {
    const log = await openLog(opts.path(generation));
    if (log === undefined) break;
    try {
      older = [...(await lastLines(log, count - older.length)), ...older];
    } finally {
      await log.close();
    }
  }
  return older;
}

/** undefined when there is none. */
async function openLog(path: string): Promise<OpenLog | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw fileError(error, path, "read");
  }
  try {
    return new OpenLog(file, path, (await file.stat()).ino);
  } catch (error) {
    await file.close();
    throw fileError(error, path, "read");
  }
}

/** What was written after `log`; undefined while that is the newest. Several rotations may have been meanwhile. */
async function openNext(
  log: OpenLog | undefined,
  path: ReadLogOpts["path"],
): Promise<OpenLog | undefined> {
  if (log === undefined) return openLog(path(0));
  for (;;) {
    const generation = await generationOf(log, path);
    if (generation === 0) return undefined;
    const next = await openLog(path(generation - 1));
    // Else a rotation came in between, and this is a newer one.
    if (await isNext(log, generation, path)) return next;
    await next?.close();
  }
}

/** Where a log is now; for one that was rotated out, where it would be: behind the oldest. */
async function generationOf(log: OpenLog, path: ReadLogOpts["path"]): Promise<number> {
  let generation = 0;
  while (!(await log.isAt(path(generation)))) {
    if (generation > 0 && (await inodeAt(path(generation))) === undefined) return generation;
    generation++;
  }
  return generation;
}

async function isNext(
  log: OpenLog,
  generation: number,
  path: ReadLogOpts["path"],
): Promise<boolean> {
  const inode = await inodeAt(path(generation));
  return inode === undefined || log.isAt(path(generation));
}

async function inodeAt(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.ino;
}

/** Tells when something happened to a file or its name. What happens meanwhile is one change. */
class Changes {
  readonly #watcher: FSWatcher;
  #isPending = false;
  #hasEnded = false;
  #wake: () => void = () => {};

  constructor(
    path: string,
    private readonly signal: AbortSignal,
  ) {
    try {
      this.#watcher = watch(dirname(path), (_event, name) => {
        if (name === null || name === basename(path)) this.#notify();
      });
    } catch (error) {
      throw fileError(error, dirname(path), "watched");
    }
    this.#watcher.on("error", () => this.#end());
    signal.addEventListener("abort", this.#onAbort, { once: true });
    if (signal.aborted) this.#end();
  }

  /** Waits for a change; false when there will be none. */
  async next(): Promise<boolean> {
    if (!this.#isPending && !this.#hasEnded) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    this.#isPending = false;
    return !this.#hasEnded;
  }

  close(): void {
    this.signal.removeEventListener("abort", this.#onAbort);
    this.#watcher.close();
  }

  readonly #onAbort = (): void => this.#end();

  #notify(): void {
    this.#isPending = true;
    this.#wake();
  }

  #end(): void {
    this.#hasEnded = true;
    this.#wake();
  }
}
