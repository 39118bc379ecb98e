/** `msb-ts server logs`. */
import { once } from "node:events";
import { InvalidArgumentError, Option } from "commander";
import { MsbError } from "../../../errors.js";
import type { MsbPaths } from "../../../paths.js";
import { CliCommand } from "../../command.js";
import type { CliContext } from "../../context.js";
import { printLine } from "../../output.js";
import { homePaths, type HomeOpts, pathOption } from "./options.js";

interface LogsOpts extends HomeOpts {
  readonly follow?: true;
  readonly lines: number;
}

const DEFAULT_LINES = 100;
const MAX_LINES = 1_000_000;

export function logsCommand(ctx: CliContext): CliCommand {
  return new CliCommand("logs")
    .summary("show the log of a server in the background")
    .description(
      "Show the log of a server that was started with --detach, also after its end. It is in MSB_HOME/server.log, " +
        "10 MiB at most; what is older is in server.log.1 and server.log.2.",
    )
    .option("-f, --follow", "go on with what comes, until Ctrl-C")
    .addOption(
      new Option("-n, --lines <count>", "how many of the last lines")
        .default(DEFAULT_LINES)
        .argParser(lineCount),
    )
    .addOption(pathOption())
    .option("--json", "print the entries as they are in the file, one JSON document a line")
    .example("The last lines", "msb-ts server logs -n 20")
    .example("What happens now", "msb-ts server logs --follow")
    .example("Failures only", "msb-ts server logs --json | jq 'select(.level == \"error\")'")
    .action((opts: LogsOpts) => logs(ctx, opts));
}

function lineCount(text: string): number {
  if (/^\d{1,7}$/.test(text) && Number(text) <= MAX_LINES) return Number(text);
  throw new InvalidArgumentError(`Use a whole number up to ${MAX_LINES}.`);
}

async function logs(ctx: CliContext, opts: LogsOpts): Promise<void> {
  const { readLog } = await import("../../../server/process/log-files.js");
  const { readableLine } = await import("../../../server/process/log-line.js");
  const paths = homePaths(ctx, opts);
  await requireLog(paths);
  const lines = readLog({
    path: paths.serverLog,
    lines: opts.lines,
    follow: opts.follow === true,
    signal: ctx.signal,
  });
  for await (const line of lines) {
    if (ctx.signal.aborted) break;
    if (!opts.json) printLine(ctx, readableLine(line));
    else if (line.startsWith("{")) printLine(ctx, line);
    else printLine(ctx, JSON.stringify({ level: "error", msg: line }));
    if (ctx.stdout.writableNeedDrain) await drained(ctx);
  }
}

/** Or the command is being stopped. */
async function drained(ctx: CliContext): Promise<void> {
  await once(ctx.stdout, "drain", { signal: ctx.signal }).catch(() => {});
}

/** Throws MSB_ERR_INVALID_STATE when the log is elsewhere, MSB_ERR_FILE_NOT_FOUND when there is none. */
async function requireLog(paths: MsbPaths): Promise<void> {
  const { stat } = await import("node:fs/promises");
  const { findServer } = await import("../../../server/process/server-lock.js");
  const found = await findServer(paths);
  if ("process" in found && found.process.logFile === null) {
    throw new MsbError(
      "MSB_ERR_INVALID_STATE",
      `The server (process ${found.process.pid}) runs in the foreground and logs to where it was started. Start it ` +
        "with --detach to have its log in a file.",
      { details: { pid: found.process.pid } },
    );
  }
  if ((await stat(paths.serverLog(0)).catch(() => undefined)) !== undefined) return;
  throw new MsbError(
    "MSB_ERR_FILE_NOT_FOUND",
    `There is no log in ${paths.home}: no server was started there with --detach.`,
    { details: { path: paths.serverLog(0) } },
  );
}
