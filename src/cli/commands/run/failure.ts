/** How `run` ends when it fails: with an exit code that is not the error's own. */
import { failureExitCode } from "../../command-exit.js";
import type { JsonOpts } from "../../command.js";
import type { CliContext } from "../../context.js";
import { reportErrors } from "../../error-report.js";
import { QuietExit } from "../../exit.js";

/** What is to be thrown: an error that is reported here has an exit code of its own. */
export function runFailure(ctx: CliContext, error: unknown, opts: JsonOpts): unknown {
  if (ctx.signal.aborted || error instanceof QuietExit) return error;
  reportErrors(ctx, [error], { json: opts.json === true });
  return new QuietExit(failureExitCode(error));
}
