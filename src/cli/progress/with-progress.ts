/** Which way progress is shown: bars, lines or not at all. */
import type { OnProgress } from "../../util/progress.js";
import { type CliContext, isContinuousIntegration, isTerminal } from "../context.js";
import { ProgressBars } from "./bars.js";
import { ProgressLines } from "./lines.js";
import type { ProgressReporter } from "./reporter.js";

export interface ProgressOpts {
  readonly quiet?: boolean;
  readonly json?: boolean;
}

/** Runs `work` and shows its progress on stderr; what is shown stands still when `work` ends or the context's signal aborts. */
export async function withProgress<T>(
  ctx: CliContext,
  opts: ProgressOpts,
  work: (onProgress: OnProgress) => Promise<T>,
): Promise<T> {
  const reporter = openReporter(ctx, opts);
  const stop = (): void => reporter?.[Symbol.dispose]();
  ctx.signal.addEventListener("abort", stop, { once: true });
  try {
    return await work((progress) => {
      if (!ctx.signal.aborted) reporter?.report(progress);
    });
  } finally {
    ctx.signal.removeEventListener("abort", stop);
    stop();
  }
}

function openReporter(ctx: CliContext, opts: ProgressOpts): ProgressReporter | undefined {
  if (opts.quiet) return undefined;
  const isScreen =
    isTerminal(ctx.stderr) && !isContinuousIntegration(ctx.env) && ctx.env["TERM"] !== "dumb";
  if (isScreen) return new ProgressBars(ctx.stderr, ctx.now);
  // A program that asks for JSON may read stderr for errors.
  if (opts.json && !isTerminal(ctx.stderr)) return undefined;
  return new ProgressLines(ctx.stderr, ctx.now);
}
