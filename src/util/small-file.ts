/** Configuration files: small, regular, and with secrets in them only for their owner. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { MsbError } from "../errors.js";

export interface SmallFile {
  readonly bytes: Buffer;
  /** Group or others may read it. */
  readonly isShared: boolean;
}

/** The file at `path`; undefined when it is not there. Throws MSB_ERR_SETTINGS_INVALID for what is no small file. */
export async function readSmallFile(
  path: string,
  maxBytes: number,
): Promise<SmallFile | undefined> {
  // Without O_NONBLOCK a named pipe would be waited for.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK;
  const file = await open(path, flags).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw unusable(path, `cannot be read (${error.code ?? error.message})`, error);
  });
  if (file === undefined) return undefined;
  try {
    const info = await file.stat();
    if (!info.isFile()) throw unusable(path, "is not a regular file");
    if (info.size > maxBytes) throw unusable(path, `has more than ${maxBytes} bytes`);
    return { bytes: await file.readFile(), isShared: (info.mode & 0o077) !== 0 };
  } finally {
    await file.close();
  }
}

/** The error for a file with secrets that others may read. */
export function sharedSecret(path: string, what: string): MsbError {
  return unusable(
    path,
    `has ${what} in it, and other users may read it; run: chmod 600 '${path.replaceAll("'", `'\\''`)}'`,
  );
}

function unusable(path: string, why: string, cause?: unknown): MsbError {
  return new MsbError("MSB_ERR_SETTINGS_INVALID", `The file ${path} ${why}.`, {
    cause,
    details: { path },
  });
}
