/**
 * Images go from the store into an archive as they are: the same blobs, so the same digests. The same images give
 * the same bytes. Formats: `oci`, an OCI layout in a tar file; `oci-dir`, the layout as a folder; `docker`, a tar
 * that is a layout and has the table of `docker save` as well, for Docker of any version and for all that reads
 * docker archives.
 */
import { createWriteStream } from "node:fs";
import { type FileHandle, mkdir, open, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { MsbError } from "../../errors.js";
import { abortReason, throwIfAborted } from "../../util/async.js";
import { moveIntoPlace, replaceFile, tempName } from "../../util/atomic-file.js";
import { isSpaceCode } from "../../util/file-error.js";
import { printable } from "../../util/printable.js";
import type { OnProgress } from "../../util/progress.js";
import type { BlobStore } from "../store/blob-store.js";
import { type LayoutFile, layoutFiles, type SavedImage } from "./layout-files.js";
import { type TarItem, tarStream } from "./tar-writer.js";

export type { SavedImage };

export const ARCHIVE_FORMATS = ["oci", "oci-dir", "docker"] as const;
export type ArchiveFormat = (typeof ARCHIVE_FORMATS)[number];

const WHAT = "Saving images";
const PROGRESS_STEP_BYTES = 4 * 1024 ** 2;
/** What is in the archive has its dates in the image; the archive has none. */
const NO_DATE = new Date(0);

export interface SaveArchiveOpts {
  readonly store: Pick<BlobStore, "read" | "stream">;
  /** Default `oci`. */
  readonly format?: ArchiveFormat;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/**
 * `target` is a path, which is there whole or not at all, or a stream, which is not ended. Throws
 * MSB_ERR_INVALID_ARGUMENT for a target that cannot be written, MSB_ERR_IMAGE_NOT_FOUND for an image that is not
 * whole, MSB_ERR_NO_SPACE, MSB_ERR_ABORTED, and what the store throws.
 */
export async function saveArchive(
  images: readonly SavedImage[],
  target: string | Writable,
  opts: SaveArchiveOpts,
): Promise<void> {
  const { store, signal } = opts;
  const format = opts.format ?? "oci";
  if (format === "oci-dir" && typeof target !== "string") {
    throw invalidTarget("the stream", "format oci-dir makes a folder; use oci or docker");
  }
  throwIfAborted(signal, WHAT);
  const withDockerTable = format === "docker";
  const files = await layoutFiles(images, store, { withDockerTable, ...(signal && { signal }) });
  const counted = withProgress(files, opts.onProgress);
  try {
    if (typeof target !== "string") await writeStream(counted, target, signal);
    else if (format === "oci-dir") await writeFolder(counted, resolve(target), signal);
    else await writeFile(counted, resolve(target), signal);
  } catch (error) {
    if (signal?.aborted) throw abortReason(signal, WHAT);
    throw translated(error, typeof target === "string" ? target : "the stream");
  }
}

async function writeFile(
  files: readonly LayoutFile[],
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const info = await stat(path).catch(() => undefined);
  if (info?.isDirectory()) {
    throw invalidTarget(path, "it is a folder; name a file, or use the format oci-dir");
  }
  // A device or a pipe is written to, not replaced.
  if (info !== undefined && !info.isFile()) {
    return await pipeline(tarOf(files), createWriteStream(path), signal ? { signal } : {});
  }
  return await replaceFile(path, (file) => writeChunks(file, tarOf(files), signal));
}

async function writeStream(
  files: readonly LayoutFile[],
  target: Writable,
  signal: AbortSignal | undefined,
): Promise<void> {
  await pipeline(tarOf(files), target, { end: false, ...(signal && { signal }) });
  // Until here it may all be in the stream's buffer.
  await new Promise<void>((done, fail) => {
    target.write("", (error) => (error ? fail(error) : done()));
  });
}

async function writeFolder(
  files: readonly LayoutFile[],
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const temp = join(dirname(path), tempName(".layout"));
  await mkdir(temp);
  try {
    for (const { path: name, content } of files) {
      const filePath = join(temp, name);
      await mkdir(dirname(filePath), { recursive: true });
      const file = await open(filePath, "wx", 0o644);
      try {
        await writeChunks(file, content(), signal);
        await file.sync();
      } finally {
        await file.close();
      }
    }
    throwIfAborted(signal, WHAT);
    // Takes the place of nothing or of an empty folder.
    await moveIntoPlace(temp, path);
  } catch (error) {
    await rm(temp, { recursive: true, force: true });
    throw error;
  }
}

async function writeChunks(
  file: FileHandle,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<void> {
  for await (const chunk of chunks) {
    throwIfAborted(signal, WHAT);
    await file.writeFile(chunk);
  }
}

function tarOf(files: readonly LayoutFile[]): AsyncIterable<Buffer> {
  const folders = new Set<string>();
  for (const { path } of files) {
    const parts = path.split("/").slice(0, -1);
    for (const [index] of parts.entries()) folders.add(`${parts.slice(0, index + 1).join("/")}/`);
  }
  const items: TarItem[] = [
    ...[...folders].map((path) => ({ path, mode: 0o755, sizeBytes: 0 })),
    ...files.map((file) => Object.assign({ mode: 0o644 }, file)),
  ];
  return tarStream(items, NO_DATE);
}

function withProgress(
  files: readonly LayoutFile[],
  onProgress: OnProgress | undefined,
): readonly LayoutFile[] {
  if (onProgress === undefined) return files;
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let doneBytes = 0;
  let reportedBytes = 0;
  const report = (state: "running" | "done"): void =>
    onProgress({ id: "archive", label: "archive", state, doneBytes, totalBytes });
  return files.map((file) =>
    Object.assign({}, file, {
      content: async function* () {
        for await (const chunk of file.content()) {
          yield chunk;
          doneBytes += chunk.length;
          if (doneBytes - reportedBytes < PROGRESS_STEP_BYTES && doneBytes < totalBytes) continue;
          reportedBytes = doneBytes;
          report(doneBytes === totalBytes ? "done" : "running");
        }
      },
    }),
  );
}

function translated(error: unknown, target: string): unknown {
  const code = error instanceof MsbError ? undefined : (error as NodeJS.ErrnoException).code;
  if (code === undefined) return error;
  if (isSpaceCode(code)) {
    return new MsbError(
      "MSB_ERR_NO_SPACE",
      `There is no room for the image archive ${printable(target)}: free some, or name another place.`,
      { cause: error, details: { target } },
    );
  }
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: "its folder is not there",
    ENOTEMPTY: "there is a folder with something in it",
    EEXIST: "there is a folder with something in it",
    ENOTDIR: "there is a file",
    EPIPE: "its reader went away",
  };
  return invalidTarget(target, reasons[code] ?? code, error);
}

function invalidTarget(target: string, why: string, cause?: unknown): MsbError {
  return new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    `Images cannot be saved to ${printable(target)}: ${why}.`,
    { cause, details: { target } },
  );
}
