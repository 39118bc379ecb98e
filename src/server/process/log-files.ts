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
  let file: FileHandle | undefined;
  try {
    file = await openLog(opts.path(0));
    let reader = new LineReader();
    const last = file === undefined ? [] : await lastLines(file, reader, opts.lines);
    yield* (await olderLines(opts, opts.lines - last.length)).concat(last);
    if (changes === undefined) return;
    while (await changes.next()) {
      for (;;) {
        if (file !== undefined) yield* reader.linesOf(file);
        const next = await openNext(file, opts.path(0));
        if (next === undefined) break;
        // What came between the last look and the rotation.
        if (file !== undefined) yield* reader.linesOf(file);
        await file?.close();
        [file, reader] = [next, new LineReader()];
      }
    }
  } finally {
    changes?.close();
    await file?.close();
  }
}

/** Lines of a file that grows, from the reader's position on. */
class LineReader {
  position = 0;
  #rest = Buffer.alloc(0);

  async *linesOf(file: FileHandle): AsyncGenerator<string, void, undefined> {
    for (;;) {
      const buffer = Buffer.alloc(CHUNK_BYTES);
      const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, this.position);
      if (bytesRead === 0) return;
      this.position += bytesRead;
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
}

/** Reads to the end; memory is bounded by the size of a generation. */
async function lastLines(
  file: FileHandle,
  reader: LineReader,
  count: number,
): Promise<readonly string[]> {
  let kept: string[] = [];
  for await (const line of reader.linesOf(file)) {
    kept.push(line);
    if (kept.length > 2 * count + 1) kept = kept.slice(kept.length - count);
  }
  return count <= 0 ? [] : kept.slice(-count);
}

async function olderLines(opts: ReadLogOpts, count: number): Promise<readonly string[]> {
  let older: readonly string[] = [];
  for (let generation = 1; older.length < count; generation++) {
    const file = await openLog(opts.path(generation));
    if (file === undefined) break;
    try {
      older = [...(await lastLines(file, new LineReader(), count - older.length)), ...older];
    } finally {
      await file.close();
    }
  }
  return older;
}

async function openLog(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw fileError(error, path, "read");
  }
}

/** The file that is now at `path`, if it is another one than `file`. */
async function openNext(
  file: FileHandle | undefined,
  path: string,
): Promise<FileHandle | undefined> {
  const there = await stat(path).catch(() => undefined);
  if (there === undefined || there.ino === (await file?.stat())?.ino) return undefined;
  return openLog(path);
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
