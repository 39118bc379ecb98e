/** What files were found to say, for as long as they are the same files: looking at one is quicker than reading it. */
import { lstat } from "node:fs/promises";
import { errnoOf } from "./file-error.js";
import { identityOf } from "./file-identity.js";

interface Kept<T> {
  readonly identity: string;
  readonly value: T;
}

export class KeptReads<T> {
  readonly #kept = new Map<string, Kept<T>>();

  /** At most so many; what was read longest ago goes first. */
  constructor(private readonly limit: number) {}

  /** What `read` gave when the file was last another one; undefined, and not kept, when it gives nothing. */
  async get(path: string, read: () => Promise<T | undefined>): Promise<T | undefined> {
    // Before it is read: of a file that is replaced meanwhile the old identity is kept, which is never found again.
    const identity = await lookAt(path);
    const kept = this.#kept.get(path);
    if (kept !== undefined && kept.identity === identity) return kept.value;
    this.#kept.delete(path);
    const value = await read();
    if (value !== undefined && identity !== undefined) this.#keep(path, { identity, value });
    return value;
  }

  #keep(path: string, kept: Kept<T>): void {
    this.#kept.set(path, kept);
    const [oldest] = this.#kept.keys();
    if (oldest !== undefined && this.#kept.size > this.limit) this.#kept.delete(oldest);
  }
}

/** Undefined when it cannot be looked at: reading it tells why. */
async function lookAt(path: string): Promise<string | undefined> {
  try {
    return identityOf(path, await lstat(path));
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}
