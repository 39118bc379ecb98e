/** Errors that whoever reads or writes disks can meet. */
import { dirname } from "node:path";
import { messageOf, MsbError } from "../errors.js";
import { errnoOf, isSpaceCode } from "../util/file-error.js";

/** MSB_ERR_NO_SPACE if that is what `error` says, else `error` itself. */
export function spaceError(error: unknown, path: string, sizeBytes: number): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (!isSpaceCode(code)) return error;
  const why =
    code === "EFBIG"
      ? "that file system does not take files of this size"
      : "the file system is full";
  return new MsbError(
    "MSB_ERR_NO_SPACE",
    `The disk ${path} (${sizeBytes} bytes) cannot be made: ${why}. ` +
      `Free space in ${dirname(path)}, or set MSB_HOME to a folder with more.`,
    { cause: error, details: { path, sizeBytes, errno: code } },
  );
}

export function diskNotFound(path: string, error: unknown): MsbError {
  const why = errnoOf(error) ?? messageOf(error);
  return new MsbError("MSB_ERR_DISK_NOT_FOUND", `The disk ${path} cannot be opened (${why}).`, {
    cause: error,
    details: { path },
  });
}
