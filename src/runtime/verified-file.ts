/** Remembers the sha512 of large files, so that a boot costs a stat and not a hash of 21 MB. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { writeFileAtomic } from "../util/atomic-file.js";

/** Kept beside the file as `<file>.json`. */
interface FileRecord {
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  /** Base64. */
  readonly sha512: string;
}

const recordPath = (path: string): string => `${path}.json`;

/** Notes what `path`, as it is now, has been found to be. */
export async function writeRecord(path: string, sha512: string): Promise<void> {
  const { size, mtimeMs } = await stat(path);
  const record: FileRecord = { sizeBytes: size, mtimeMs, sha512 };
  await writeFileAtomic(recordPath(path), `${JSON.stringify(record)}\n`);
}

/** Is `path` there with this digest? Hashes it only if it changed since the record was made. */
export async function isIntact(path: string, sha512: string): Promise<boolean> {
  const info = await stat(path).catch(() => undefined);
  if (info === undefined) return false;
  const record = await readRecord(path);
  if (record?.sizeBytes === info.size && record.mtimeMs === info.mtimeMs) {
    return record.sha512 === sha512;
  }
  if ((await sha512Of(path)) !== sha512) return false;
  await writeRecord(path, sha512).catch(() => {});
  return true;
}

/** The sha512 of a whole file, in base64. */
export async function sha512Of(path: string): Promise<string> {
  const hash = createHash("sha512");
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash);
  return hash.digest("base64");
}

async function readRecord(path: string): Promise<Partial<FileRecord> | undefined> {
  try {
    return (JSON.parse(await readFile(recordPath(path), "utf8")) ?? undefined) as FileRecord;
  } catch {
    return undefined;
  }
}
