/** What a failed system call on a file of ours means to whoever runs the program. */
import { dirname } from "node:path";
import { MsbError } from "../errors.js";

/** Does this errno name say that there is no room? EFBIG: not in one file. */
export function isSpaceCode(code: string | undefined): boolean {
  return code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG";
}

/** The errno name (`ENOENT`) of a failed system call; undefined for every other error. */
export function errnoOf(error: unknown): string | undefined {
  const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  return typeof code === "string" && syscall !== undefined ? code : undefined;
}

/**
 * MSB_ERR_NO_SPACE or MSB_ERR_HOME_UNUSABLE for a failed system call, any other error as it is.
 * `doing` completes "… cannot be", such as `written`.
 */
export function fileError(error: unknown, path: string, doing: string): unknown {
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  const opts = { cause: error, details: { path, errno } };
  if (isSpaceCode(errno)) {
    const why =
      errno === "EFBIG" ? "that is more than one file may have there" : "no space is left";
    return new MsbError(
      "MSB_ERR_NO_SPACE",
      `${path} cannot be ${doing}: ${why} (${errno}). Free space in ${dirname(path)}, or set MSB_HOME to a ` +
        "folder with more.",
      opts,
    );
  }
  return new MsbError(
    "MSB_ERR_HOME_UNUSABLE",
    `${path} cannot be ${doing} (${errno}). Make it a file or folder that this user may read and write, or set ` +
      "MSB_HOME to another folder.",
    opts,
  );
}
