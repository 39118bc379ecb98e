/** How `run` ends: the command's exit code, or what stands for a command that did not come to one. */
import type { ExecExit } from "../../../agent/messages.js";
import { ERROR_CODES, isMsbError } from "../../../errors.js";
import type { JsonOpts } from "../../command.js";
import type { CliContext } from "../../context.js";
import { reportErrors } from "../../error-report.js";
import { QuietExit } from "../../exit.js";

const OUR_FAILURE = 125;
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;
const SIGNAL_BASE = 128;
const SIGKILL = 9;
const WRONG_WORDS = 2;
/** Of the guest, which is a Linux. */
const ENOENT = 2;

export function exitCodeOf({ exitCode, signal }: Pick<ExecExit, "exitCode" | "signal">): number {
  return exitCode ?? SIGNAL_BASE + (signal ?? SIGKILL);
}

/** What is to be thrown: an error that is reported here has an exit code of its own. */
export function runFailure(ctx: CliContext, error: unknown, opts: JsonOpts): unknown {
  if (ctx.signal.aborted || error instanceof QuietExit) return error;
  reportErrors(ctx, [error], { json: opts.json === true });
  return new QuietExit(failureCode(error));
}

function failureCode(error: unknown): number {
  if (!isMsbError(error)) return OUR_FAILURE;
  const { exitCode } = ERROR_CODES[error.code];
  if (exitCode === WRONG_WORDS || error.code === "MSB_ERR_EXEC_TIMEOUT") return exitCode;
  if (error.code !== "MSB_ERR_EXEC_FAILED") return OUR_FAILURE;
  const { operation, errno } = error.details;
  if (operation !== "execve") return OUR_FAILURE;
  return errno === ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
}
