/**
 * Pins: what work under way needs and no name holds yet. A pin is a file with a digest a line, under a lock for as
 * long as its owner lives; a file without a lock was left by a process that died, and holds nothing. The file of one
 * that keeps an image which was warmed says so by its name.
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, readFile, rm } from "node:fs/promises";
import { MsbError } from "../../errors.js";
import { FileLock } from "../../native/file-lock.js";
import type { MsbPaths } from "../../paths.js";
import { errnoOf, fileError } from "../../util/file-error.js";
import { type Digest, isDigest } from "../digest.js";
import { makeFolder, namesIn, removeIfFree } from "./store-files.js";
import { withStoreLock } from "./store-lock.js";

const WARMED_PREFIX = "warmed-";

/** `work`: what is under way. `warmed`: an image that counts as in use, for a server was told to have it ready. */
export type PinPurpose = "work" | "warmed";

export interface OpenPinOpts {
  readonly purpose?: PinPurpose;
  readonly onClose?: (pin: ImagePin) => void;
}

/** What live pins hold; what some of them keep because it was warmed is among it. */
export interface Pinned {
  readonly digests: ReadonlySet<Digest>;
  readonly warmed: ReadonlySet<Digest>;
}

export class ImagePin implements AsyncDisposable {
  readonly #digests = new Set<Digest>();
  #isOpen = true;

  private constructor(
    private readonly paths: MsbPaths,
    private readonly file: FileHandle,
    private readonly lock: FileLock,
    private readonly onClose: (pin: ImagePin) => void,
  ) {}

  /** Throws MSB_ERR_NO_SPACE, MSB_ERR_HOME_UNUSABLE. */
  static async open(paths: MsbPaths, opts: OpenPinOpts = {}): Promise<ImagePin> {
    const { purpose = "work", onClose = () => {} } = opts;
    await makeFolder(paths.imagePinRoot);
    const prefix = purpose === "warmed" ? WARMED_PREFIX : "";
    const path = paths.imagePin(`${prefix}${randomBytes(16).toString("hex")}`);
    const lock = await FileLock.acquire(path, "exclusive");
    try {
      const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW;
      return new ImagePin(paths, await open(path, flags), lock, onClose);
    } catch (error) {
      await lock.release();
      throw fileError(error, path, "opened");
    }
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /**
   * From the moment this returns no prune removes the blobs of these digests, nor, for a manifest, what it names
   * and the disk of it. What a prune has removed before must be brought again: pin first, then look. Not durable:
   * a pin means nothing after a crash of the machine. Throws MSB_ERR_NO_SPACE, MSB_ERR_HOME_UNUSABLE.
   */
  async add(...digests: readonly Digest[]): Promise<void> {
    const added = digests.filter((digest) => !this.#digests.has(digest));
    if (added.length === 0) return;
    if (!this.#isOpen) throw new MsbError("MSB_ERR_INTERNAL", "A closed pin holds nothing.");
    await withStoreLock(this.paths, "shared", async () => {
      // Closed while the lock was waited for: its owner is done with all of it.
      if (!this.#isOpen) return;
      await this.file.appendFile(added.map((digest) => `${digest}\n`).join("")).catch((error) => {
        throw fileError(error, this.lock.path, "written");
      });
    });
    for (const digest of added) this.#digests.add(digest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.onClose(this);
    try {
      await rm(this.lock.path, { force: true });
    } finally {
      await this.file.close();
      await this.lock.release();
    }
  }
}

/** Removes the files of dead ones. Called under the exclusive store lock. */
export async function readPins(paths: MsbPaths): Promise<Pinned> {
  const digests = new Set<Digest>();
  const warmed = new Set<Digest>();
  for (const name of await namesIn(paths.imagePinRoot)) {
    const path = paths.imagePin(name);
    if (await removeIfFree(path)) continue;
    const text = await readFile(path, "utf8").catch((error: unknown) => {
      if (errnoOf(error) === "ENOENT") return ""; // its owner is done
      throw fileError(error, path, "read");
    });
    for (const line of text.split("\n")) {
      if (!isDigest(line)) continue;
      digests.add(line);
      if (name.startsWith(WARMED_PREFIX)) warmed.add(line);
    }
  }
  return { digests, warmed };
}
