/** Where the code comes from. */
import { readFile } from "node:fs/promises";
import { messageOf, MsbError } from "../../../errors.js";
import { oneLine } from "../../format.js";
import type { CliContext } from "../../context.js";
import { readStdin } from "../../stdin.js";

/** No server takes more in one request unless it was told to. */
const MAX_CODE_BYTES = 64 * 1024 * 1024;

/** The text of a file, or of standard input for `-`. Throws MSB_ERR_FILE_NOT_FOUND and MSB_ERR_FILE_FAILED. */
export async function readCode(ctx: CliContext, file: string): Promise<string> {
  if (file === "-") {
    const advice = "Let the code read its data from a file in the sandbox.";
    return (await readStdin(ctx, MAX_CODE_BYTES, advice)).toString();
  }
  try {
    return await readFile(file, { encoding: "utf8", signal: ctx.signal });
  } catch (cause) {
    if (ctx.signal.aborted) throw cause;
    const isMissing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    throw new MsbError(
      isMissing ? "MSB_ERR_FILE_NOT_FOUND" : "MSB_ERR_FILE_FAILED",
      isMissing
        ? `There is no file ${oneLine(file, 300)} on this machine. Code itself is given with --code.`
        : `The file ${oneLine(file, 300)} cannot be read: ${messageOf(cause)}.`,
      { cause, details: { path: file } },
    );
  }
}
