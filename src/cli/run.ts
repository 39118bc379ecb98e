/** A command line from its words to its exit code. */
import { CommanderError } from "commander";
import type { CliContext } from "./context.js";
import { reportErrors, reportWarnings, stopExitCode } from "./error-report.js";
import { QuietExit } from "./exit.js";
import { SeveralErrors } from "./for-each.js";
import { flushed } from "./output.js";
import { buildProgram } from "./program.js";

/** Runs what `args` (without node and script) ask for. Never throws: what went wrong is on stderr and in the code. */
export async function runCli(args: readonly string[], ctx: CliContext): Promise<number> {
  const errors: unknown[] = [];
  let exitCode = 0;
  for (const step of [() => parse(args, ctx), () => ctx.close()]) {
    try {
      await step();
    } catch (error) {
      if (error instanceof QuietExit) exitCode = error.exitCode;
      else errors.push(...(error instanceof SeveralErrors ? error.errors : [error]));
    }
  }
  await flushed(ctx.stdout);
  reportWarnings(ctx, { json: wantsJson(args) });
  if (errors.length > 0) {
    exitCode = reportErrors(ctx, errors, { json: wantsJson(args) });
  } else if (ctx.signal.aborted && stopExitCode(ctx.signal) === undefined) {
    exitCode = reportErrors(ctx, [ctx.signal.reason], { json: wantsJson(args) });
  }
  await flushed(ctx.stderr);
  const isExpected = ctx.service.stopPolicy !== null && errors.length === 0;
  return (isExpected ? undefined : stopExitCode(ctx.signal)) ?? exitCode;
}

async function parse(args: readonly string[], ctx: CliContext): Promise<void> {
  try {
    await buildProgram(ctx).parseAsync(args, { from: "user" });
  } catch (error) {
    // Help and version are thrown, too.
    if (!(error instanceof CommanderError && error.exitCode === 0)) throw error;
  }
}

/** Asked of the words themselves: when they are wrong nobody has parsed them. */
export function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return args.slice(0, end === -1 ? args.length : end).includes("--json");
}
