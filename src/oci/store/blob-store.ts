/**
 * Content by its digest. A blob is a file that appears under its final name only when it is whole and verified;
 * on its way there it is a partial file under a lock (`partial-file.ts`). Blobs are never changed, so readers need
 * no lock; they verify what they read, since disks do fail.
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, lstat, open as openFile, rm } from "node:fs/promises";
import { isMsbError, MsbError } from "../../errors.js";
import type { MsbPaths } from "../../paths.js";
import { throwIfAborted } from "../../util/async.js";
import { abortableChunks } from "../../util/abortable-chunks.js";
import { errnoOf, fileError } from "../../util/file-error.js";
import type { OnProgress } from "../../util/progress.js";
import {
  algorithmOf,
  type Digest,
  digestOf,
  type ExpectedContent,
  hexOf,
  shortDigest,
  verified,
} from "../digest.js";
import { type Descriptor, MAX_DOCUMENT_BYTES } from "../manifest.js";
import { DEFAULT_FETCH_RETRY, fetchInto, type FetchRetry, type OpenBlob } from "./fetch-blob.js";
import { PartialFile } from "./partial-file.js";
import { ProgressMeter } from "./progress-meter.js";
import { fileSize } from "./store-files.js";

const READ_BYTES = 256 * 1024;
/** Partial files of this name are streams of unknown digest: nobody can go on with one. */
export const SPOOL_PREFIX = "add";

export interface BlobStoreOpts {
  /** Called before a blob gets its final name; from then on it could be pruned if nothing held it. */
  readonly beforePlace?: (digest: Digest) => Promise<void>;
  readonly retry?: Partial<FetchRetry>;
}

export interface FetchOpts {
  /** For progress; such as `layer 3f2a9c`. */
  readonly label?: string;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface AddOpts {
  /** More is MSB_ERR_IMAGE_LIMIT. */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal | undefined;
}

/** All methods throw MSB_ERR_HOME_UNUSABLE and, where they write, MSB_ERR_NO_SPACE. */
export class BlobStore {
  readonly #beforePlace: (digest: Digest) => Promise<void>;
  readonly #retry: FetchRetry;

  constructor(
    private readonly paths: MsbPaths,
    opts: BlobStoreOpts = {},
  ) {
    this.#beforePlace = opts.beforePlace ?? (async () => {});
    this.#retry = { ...DEFAULT_FETCH_RETRY, ...opts.retry };
  }

  /** Where the blob is or would be. What is there must be verified while it is read. */
  pathOf(digest: Digest): string {
    return this.paths.imageBlob(algorithmOf(digest), hexOf(digest));
  }

  /** Bytes of the blob; undefined when it is not there. */
  async sizeOf(digest: Digest): Promise<number | undefined> {
    return fileSize(this.pathOf(digest));
  }

  /** Is it there with that size? Its content is verified when it is read. */
  async has({ digest, size }: ExpectedContent): Promise<boolean> {
    return (await this.sizeOf(digest)) === size;
  }

  /**
   * A small document, verified; undefined when it is not there. Throws MSB_ERR_DIGEST_MISMATCH for a spoilt blob,
   * which is then gone, and MSB_ERR_IMAGE_LIMIT for one that is no document by its size.
   */
  async read(expected: ExpectedContent): Promise<Buffer | undefined> {
    if (expected.size > MAX_DOCUMENT_BYTES) throw tooLarge(expected.digest, MAX_DOCUMENT_BYTES);
    const file = await this.#open(expected.digest);
    if (file === undefined) return undefined;
    try {
      return await this.#checked(expected, file, async () => {
        const chunks: Buffer[] = [];
        for await (const chunk of verified(chunksOf(file), expected)) chunks.push(chunk);
        return Buffer.concat(chunks);
      });
    } finally {
      await file.close();
    }
  }

  /**
   * The content, verified while it is read: it may be trusted when the end is reached. Throws
   * MSB_ERR_IMAGE_NOT_FOUND, MSB_ERR_ABORTED, and MSB_ERR_DIGEST_MISMATCH for a spoilt blob, which is then gone.
   */
  async *stream(
    expected: ExpectedContent,
    opts: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<Buffer, void, undefined> {
    const { digest } = expected;
    const file = await this.#open(digest);
    if (file === undefined) {
      throw new MsbError(
        "MSB_ERR_IMAGE_NOT_FOUND",
        `The image store has no ${digest}. Pull the image again.`,
        { details: { digest } },
      );
    }
    try {
      const chunks = verified(chunksOf(file), expected);
      for (;;) {
        throwIfAborted(opts.signal, `Reading ${digest}`);
        const item = await this.#checked(expected, file, () => chunks.next());
        if (item.done) return;
        yield item.value;
      }
    } finally {
      await file.close();
    }
  }

  /** Reads all of it; false when it is not there, or was spoilt and is now gone. Throws MSB_ERR_ABORTED. */
  async isSound(expected: ExpectedContent, signal?: AbortSignal): Promise<boolean> {
    try {
      for await (const _ of this.stream(expected, { signal }));
      return true;
    } catch (error) {
      if (isMsbError(error, "MSB_ERR_IMAGE_NOT_FOUND")) return false;
      if (isMsbError(error, "MSB_ERR_DIGEST_MISMATCH")) return false;
      throw error;
    }
  }

  /** Keeps `bytes` under their sha256. */
  async putBytes(bytes: Uint8Array, mediaType: string): Promise<Descriptor> {
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
    if (bytes.length > MAX_DOCUMENT_BYTES) return this.add(once(bytes), mediaType);
    await this.#beforePlace(descriptor.digest);
    const present = await this.read(descriptor).catch((error: unknown) => {
      if (!isMsbError(error, "MSB_ERR_DIGEST_MISMATCH")) throw error;
    });
    return present === undefined ? this.add(once(bytes), mediaType) : descriptor;
  }

  /**
   * Brings the blob if it is not there. Whoever comes second, in this process or another, waits for the first and
   * takes over where that one stopped, should it fail. Lost connections and other errors that are retryable are
   * tried again, from where they happened. Throws MSB_ERR_DIGEST_MISMATCH, MSB_ERR_ABORTED, and what `open` throws.
   */
  async fetch(descriptor: ExpectedContent, open: OpenBlob, opts: FetchOpts = {}): Promise<void> {
    const { digest, size } = descriptor;
    const { signal, label = shortDigest(digest) } = opts;
    const meter = new ProgressMeter({ id: digest, label, totalBytes: size }, opts.onProgress);
    if (await this.has(descriptor)) return meter.set("exists", { doneBytes: size });
    const onWait = (): void => meter.set("waiting", { note: "somebody else is fetching it" });
    await using partial = await PartialFile.open(...this.#partialOf(digest), { onWait, signal });
    if (await this.has(descriptor)) {
      await partial.remove();
      return meter.set("exists", { doneBytes: size });
    }
    await fetchInto(partial, { expected: descriptor, open, meter, retry: this.#retry, signal });
    await this.#beforePlace(digest);
    await partial.place(this.pathOf(digest));
    meter.set("done", { doneBytes: size });
  }

  /**
   * Keeps a stream whose digest nobody knows yet, under its sha256. Throws MSB_ERR_IMAGE_LIMIT, MSB_ERR_ABORTED,
   * and what `source` throws; nothing is left then.
   */
  async add(
    source: AsyncIterable<Uint8Array>,
    mediaType: string,
    opts: AddOpts = {},
  ): Promise<Descriptor> {
    const { maxBytes = Number.POSITIVE_INFINITY, signal } = opts;
    const spoolPath = this.paths.imagePartial(SPOOL_PREFIX, randomBytes(16).toString("hex"));
    await using spool = await PartialFile.open(spoolPath, "sha256", { signal });
    try {
      for await (const chunk of abortableChunks(source, signal, "Adding to the image store")) {
        if (spool.sizeBytes + chunk.length > maxBytes) throw tooLarge("A blob", maxBytes);
        await spool.append(chunk);
      }
      const digest: Digest = `sha256:${spool.hex()}`;
      const descriptor = { mediaType, digest, size: spool.sizeBytes };
      await this.#beforePlace(digest);
      // Also where there is one already: that one may be spoilt.
      await spool.place(this.pathOf(digest));
      return descriptor;
    } catch (error) {
      await spool.remove();
      throw error;
    }
  }

  async #open(digest: Digest): Promise<FileHandle | undefined> {
    const path = this.pathOf(digest);
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    try {
      return await openFile(path, flags);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw fileError(error, path, "opened");
    }
  }

  /** What `work` gives; when it finds that `file` is not what it should be, the blob is removed. */
  async #checked<T>(
    { digest }: ExpectedContent,
    file: FileHandle,
    work: () => Promise<T>,
  ): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (isMsbError(error, "MSB_ERR_DIGEST_MISMATCH")) await this.#removeSpoilt(digest, file);
      throw fileError(error, this.pathOf(digest), "read");
    }
  }

  /**
   * Removes `file`, but not a good one that has come in its place: blobs are placed under the partial's lock. Who
   * has that now is about to replace the blob, and may himself wait for the store's lock, which a caller may hold.
   */
  async #removeSpoilt(digest: Digest, file: FileHandle): Promise<void> {
    const path = this.pathOf(digest);
    await using partial = await PartialFile.tryOpen(...this.#partialOf(digest));
    if (partial === undefined) return;
    const spoilt = await file.stat();
    const present = await lstat(path).catch(() => undefined);
    if (present?.ino === spoilt.ino && present.dev === spoilt.dev) await rm(path, { force: true });
  }

  #partialOf(digest: Digest): [path: string, algorithm: string] {
    const algorithm = algorithmOf(digest);
    return [this.paths.imagePartial(algorithm, hexOf(digest)), algorithm];
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}

async function* chunksOf(file: FileHandle): AsyncGenerator<Buffer, void, undefined> {
  for (let at = 0; ;) {
    const { bytesRead, buffer } = await file.read(
      Buffer.allocUnsafe(READ_BYTES),
      0,
      READ_BYTES,
      at,
    );
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

function tooLarge(what: string, maxBytes: number): MsbError {
  return new MsbError(
    "MSB_ERR_IMAGE_LIMIT",
    `${what} has more than ${maxBytes} bytes, the limit for this kind of content.`,
    { details: { maxBytes } },
  );
}
