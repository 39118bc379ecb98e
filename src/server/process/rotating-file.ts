/**
 * A log file that does not grow for ever: when it is full it becomes generation 1, what was that becomes 2, and so
 * on. Each line is one write(2), so nothing that was logged is lost with the process.
 */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";
import { fileError, errnoOf } from "../../util/file-error.js";

export interface RotatingFileOpts {
  /** The path of a generation; 0 is the one that is written to. */
  readonly path: (generation: number) => string;
  /** Default 10 MiB. */
  readonly maxBytes?: number;
  /** How many files there are at most, default 3. */
  readonly files?: number;
}

const DEFAULT_MAX_BYTES = 10 * 1024 ** 2;
const DEFAULT_FILES = 3;

export class RotatingFile {
  readonly #path: (generation: number) => string;
  readonly #maxBytes: number;
  readonly #files: number;
  #fd: number;
  #size: number;
  /** Lines since the disk got full, or whatever it was. */
  #lost = 0;

  /** Throws MSB_ERR_HOME_UNUSABLE, MSB_ERR_NO_SPACE. */
  constructor(opts: RotatingFileOpts) {
    this.#path = opts.path;
    this.#maxBytes = opts.maxBytes ?? DEFAULT_MAX_BYTES;
    this.#files = opts.files ?? DEFAULT_FILES;
    try {
      this.#fd = openSync(this.#path(0), "a", 0o600);
      this.#size = fstatSync(this.#fd).size;
    } catch (error) {
      throw fileError(error, this.#path(0), "written");
    }
  }

  /** Whole lines. Never throws: a server does not end because its log cannot be written. */
  write(text: string): void {
    try {
      if (this.#size > 0 && this.#size + Buffer.byteLength(text) > this.#maxBytes) this.#rotate();
      if (this.#lost > 0) this.#append(`${lostLines(this.#lost)}\n`);
      this.#lost = 0;
      this.#append(text);
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      this.#lost += 1;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  #append(text: string): void {
    let bytes = Buffer.from(text);
    while (bytes.length > 0) {
      const written = writeSync(this.#fd, bytes);
      this.#size += written;
      bytes = bytes.subarray(written);
    }
  }

  #rotate(): void {
    for (let generation = this.#files - 1; generation > 0; generation--) {
      try {
        renameSync(this.#path(generation - 1), this.#path(generation));
      } catch (error) {
        // Nothing to make older: there are not that many yet.
        if (errnoOf(error) !== "ENOENT") throw error;
      }
    }
    const fd = openSync(this.#path(0), "a", 0o600);
    closeSync(this.#fd);
    this.#fd = fd;
    this.#size = fstatSync(fd).size;
  }
}

function lostLines(count: number): string {
  const time = new Date().toISOString();
  return JSON.stringify({ level: "warn", time, msg: "Lines of this log were lost", count });
}
