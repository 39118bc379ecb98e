/** The files of an archive or of a layout folder, by name; a name from inside never becomes a path outside. */
import type { FileHandle } from "node:fs/promises";
import { invalidArchive, shown } from "./archive-error.js";

const READ_BYTES = 256 * 1024;

export interface ArchiveFiles extends AsyncDisposable {
  /** Bytes of the file `name`; undefined when there is none. */
  sizeOf(name: string): Promise<number | undefined>;
  /** The file's bytes from `offset` on. Throws MSB_ERR_IMAGE_INVALID when there is none. */
  open(name: string, offset?: number): AsyncIterable<Buffer>;
}

/** Reads a small file whole. Throws MSB_ERR_IMAGE_INVALID when it is missing or has more than `maxBytes`. */
export async function readSmall(
  files: ArchiveFiles,
  name: string,
  maxBytes: number,
): Promise<Buffer> {
  const size = await files.sizeOf(name);
  if (size === undefined) throw invalidArchive(`its file ${shown(name)} is missing`);
  if (size > maxBytes) {
    throw invalidArchive(`its file ${shown(name)} has ${size} bytes, the limit is ${maxBytes}`);
  }
  const chunks: Buffer[] = [];
  for await (const chunk of files.open(name)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** `sizeBytes` bytes of an open file from `position` on; the handle stays open. */
export async function* readRange(
  file: FileHandle,
  position: number,
  sizeBytes: number,
  name: string,
): AsyncGenerator<Buffer, void, undefined> {
  let at = 0;
  while (at < sizeBytes) {
    const chunk = Buffer.allocUnsafe(Math.min(READ_BYTES, sizeBytes - at));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, position + at);
    if (bytesRead === 0) throw invalidArchive(`its file ${shown(name)} ends too early`);
    at += bytesRead;
    yield chunk.subarray(0, bytesRead);
  }
}
