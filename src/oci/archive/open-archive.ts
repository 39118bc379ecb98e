/** A path or a stream as a set of files: folders and plain tar files where they are, all else through a spool. */
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { isMsbError, MsbError } from "../../errors.js";
import { abortableChunks } from "../../util/abortable-chunks.js";
import { tempName } from "../../util/atomic-file.js";
import { fileError } from "../../util/file-error.js";
import { printable } from "../../util/printable.js";
import { decompressed } from "../layer/decompress.js";
import { archiveTooLarge, invalidArchive } from "./archive-error.js";
import { type ArchiveFiles, readRange } from "./archive-files.js";
import { FolderFiles } from "./folder-files.js";
import type { ArchiveLimits } from "./limits.js";
import { TarFiles } from "./tar-files.js";

const GZIP_MAGIC = [0x1f, 0x8b];
const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd];

export interface OpenArchiveOpts {
  /** For the spool; a folder on the disk of the store. */
  readonly tempDir: string;
  readonly limits: ArchiveLimits;
  readonly signal?: AbortSignal;
}

/** Throws MSB_ERR_INVALID_ARGUMENT for a path that cannot be read, MSB_ERR_IMAGE_INVALID, MSB_ERR_IMAGE_LIMIT. */
export async function openArchive(
  source: string | AsyncIterable<Uint8Array>,
  opts: OpenArchiveOpts,
): Promise<ArchiveFiles> {
  if (typeof source !== "string") return await openTar(await spool(source, opts), opts);
  const file = await openPath(source);
  let isOurs = true;
  try {
    const info = await file.stat();
    if (info.isDirectory()) return new FolderFiles(source);
    if (info.isFile() && !(await isPacked(file))) {
      isOurs = false;
      return await openTar(file, opts);
    }
    // A pipe has no positions to read at: it is read as a stream, and so is what must be unpacked.
    const bytes = info.isFile()
      ? readRange(file, 0, info.size, source)
      : (file.createReadStream({ autoClose: false }) as AsyncIterable<Buffer>);
    return await openTar(await spool(bytes, opts), opts);
  } finally {
    if (isOurs) await file.close();
  }
}

async function openTar(file: FileHandle, { limits, signal }: OpenArchiveOpts): Promise<TarFiles> {
  return await TarFiles.open(file, limits, signal);
}

async function openPath(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    const why = code === "ENOENT" ? "it is not there" : code;
    throw new MsbError(
      "MSB_ERR_INVALID_ARGUMENT",
      `The image archive ${printable(path)} cannot be opened (${why}): name a tar file, an OCI layout folder, ` +
        "or - for the standard input.",
      { cause: error, details: { path } },
    );
  }
}

async function isPacked(file: FileHandle): Promise<boolean> {
  const head = Buffer.alloc(4);
  const { bytesRead } = await file.read(head, 0, 4, 0);
  const begins = (magic: readonly number[]): boolean =>
    bytesRead >= magic.length && magic.every((byte, index) => head[index] === byte);
  return begins(GZIP_MAGIC) || begins(ZSTD_MAGIC);
}

/** An unpacked copy of `source` in a file without a name: it is gone when it is closed, however this process ends. */
async function spool(
  source: AsyncIterable<Uint8Array>,
  { tempDir, limits, signal }: OpenArchiveOpts,
): Promise<FileHandle> {
  await mkdir(tempDir, { recursive: true });
  const path = join(tempDir, tempName("archive"));
  const file = await open(path, "wx+", 0o600);
  try {
    await rm(path);
    const { maxSpooledBytes, maxRatio } = limits;
    const packed = asBuffers(abortableChunks(source, signal, "Loading the image archive"));
    const bytes = decompressed(packed, { maxLayerBytes: maxSpooledBytes, maxRatio });
    for await (const chunk of bytes) await file.writeFile(chunk);
    return file;
  } catch (error) {
    await file.close();
    throw fileError(inWordsOfArchives(error, limits), path, "written");
  }
}

async function* asBuffers(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const { buffer, byteOffset, byteLength } of source) {
    yield Buffer.from(buffer, byteOffset, byteLength);
  }
}

/** The reader of layers speaks of layers. */
function inWordsOfArchives(error: unknown, limits: ArchiveLimits): unknown {
  if (isMsbError(error, "MSB_ERR_IMAGE_INVALID")) {
    return invalidArchive("its compressed stream is damaged or ends too early", error);
  }
  if (!isMsbError(error, "MSB_ERR_IMAGE_LIMIT")) return error;
  return error.details["option"] === "maxRatio"
    ? archiveTooLarge("a higher compression ratio", "maxRatio", limits.maxRatio)
    : archiveTooLarge("more bytes", "maxSpooledBytes", limits.maxSpooledBytes);
}
