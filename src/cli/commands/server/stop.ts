/** `msb-ts server stop`. */
import { InvalidArgumentError, Option } from "commander";
import { isMsbError, MsbError } from "../../../errors.js";
import type { MsbPaths } from "../../../paths.js";
import type { FoundServer } from "../../../server/process/server-lock.js";
import type { ServerProcess } from "../../../server/process/server-process.js";
import { throwIfAborted } from "../../../util/async.js";
import { isRunning } from "../../../native/process-identity.js";
import { CliCommand, type JsonOpts } from "../../command.js";
import type { CliContext } from "../../context.js";
import { printJson, printLine } from "../../output.js";
import { homePaths, type HomeOpts, pathOption, processView } from "./options.js";

interface StopOpts extends HomeOpts, JsonOpts {
  readonly force?: true;
  /** Seconds. */
  readonly timeout: number;
}

const DEFAULT_TIMEOUT_S = 60;
/** The kernel drops the locks of a killed process as soon as it is gone. */
const KILL_MS = 10_000;
const REPORT_MS = 5_000;

export function stopCommand(ctx: CliContext): CliCommand {
  return new CliCommand("stop")
    .summary("stop the server")
    .description(
      "Stop the server in order and wait until it has gone: requests under way may end, then its sandboxes stop, or " +
        "wait for the next server if it was started with --shutdown detach. Fails with exit code 69 " +
        "(MSB_ERR_SERVER_NOT_RUNNING) when there is no server.",
    )
    .addOption(
      new Option("--timeout <seconds>", "how long to wait")
        .default(DEFAULT_TIMEOUT_S)
        .argParser(seconds),
    )
    .option(
      "--force",
      "kill a server that has not ended by then; its sandboxes wait for the next one",
    )
    .addOption(pathOption())
    .jsonOption()
    .example("In order", "msb-ts server stop")
    .example("In any case, and soon", "msb-ts server stop --timeout 5 --force")
    .action((opts: StopOpts) => stop(ctx, opts));
}

function seconds(text: string): number {
  const value = Number(text);
  if (/^\d{1,5}$/.test(text)) return value;
  throw new InvalidArgumentError("Use a whole number of seconds.");
}

async function stop(ctx: CliContext, opts: StopOpts): Promise<void> {
  const { findServer } = await import("../../../server/process/server-lock.js");
  const paths = homePaths(ctx, opts);
  const server = requireProcess(await findServer(paths), paths);
  ctx.stderr.write(opts.json ? "" : `Stopping the server (process ${server.pid})\n`);
  send(server, "SIGTERM");
  const limitMs = opts.timeout * 1000;
  let isKilled = false;
  if (!(await hasEnded(ctx, opts, paths, limitMs))) {
    if (!opts.force) throw stillRunning(server, opts.timeout);
    isKilled = true;
    send(server, "SIGKILL");
    if (!(await hasEnded(ctx, opts, paths, KILL_MS))) throw stillRunning(server, opts.timeout);
  }
  if (opts.json) printJson(ctx, { ...processView(server), killed: isKilled });
  else if (isKilled) printLine(ctx, "Killed the server; its sandboxes wait for the next one");
  else printLine(ctx, "Stopped the server");
}

/** Throws MSB_ERR_SERVER_NOT_RUNNING; MSB_ERR_INVALID_STATE when it cannot be reached from here. */
function requireProcess(found: FoundServer, paths: MsbPaths): ServerProcess {
  if (found.state === "none") {
    throw new MsbError("MSB_ERR_SERVER_NOT_RUNNING", `No server works with ${paths.home}.`, {
      details: { home: paths.home },
    });
  }
  if (found.state !== "unknown") return found.process;
  throw new MsbError(
    "MSB_ERR_INVALID_STATE",
    `A server works with ${paths.home}, but it is no process that can be seen from here: end it where it was ` +
      "started, such as in its container.",
    { details: { home: paths.home } },
  );
}

/** To that very process: a number is given to another one when it is free. */
function send(server: ServerProcess, signal: NodeJS.Signals): void {
  if (!isRunning(server)) return;
  try {
    process.kill(server.pid, signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ESRCH") return;
    throw new MsbError(
      "MSB_ERR_INVALID_STATE",
      `The server (process ${server.pid}) cannot be ended (${code}): do it as the user who started it.`,
      { cause: error, details: { pid: server.pid } },
    );
  }
}

async function hasEnded(
  ctx: CliContext,
  opts: StopOpts,
  paths: MsbPaths,
  limitMs: number,
): Promise<boolean> {
  const { serverEnds } = await import("../../../server/process/server-lock.js");
  const report = setInterval(() => {
    if (!opts.json) ctx.stderr.write("Waiting for requests and sandboxes to end\n");
  }, REPORT_MS);
  const limit = AbortSignal.timeout(limitMs);
  try {
    await serverEnds(paths, AbortSignal.any([limit, ctx.signal]));
    return true;
  } catch (error) {
    throwIfAborted(ctx.signal, "The wait");
    if (!isMsbError(error, "MSB_ERR_ABORTED")) throw error;
    return false;
  } finally {
    clearInterval(report);
  }
}

function stillRunning(server: ServerProcess, timeoutS: number): MsbError {
  return new MsbError(
    "MSB_ERR_REQUEST_TIMEOUT",
    `The server (process ${server.pid}) was asked to stop and has not ended within ${timeoutS} s. Wait longer with ` +
      "--timeout, or kill it with --force.",
    { details: { pid: server.pid, timeoutS } },
  );
}
