/** `msb-ts server start`. */
import { serverConfig, type ServerSettings } from "../../../config.js";
import { isMsbError } from "../../../errors.js";
import type { MsbPaths } from "../../../paths.js";
import type { RunningServer } from "../../../server/process/serve.js";
import type { ServerProcess } from "../../../server/process/server-process.js";
import { hostPort } from "../../../util/host-port.js";
import { CliCommand, UsageError } from "../../command.js";
import { type CliContext, isTerminal } from "../../context.js";
import { printJson, printLine } from "../../output.js";
import type { ParentLink } from "../../service-host.js";
import { packageVersion } from "../../version.js";
import { failedMessage, readyMessage, startDetached } from "./detach.js";
import { homePaths, processView } from "./options.js";
import { addStartOptions, serverOptsOf, type StartOpts, wordsOf } from "./start-options.js";

/** Requests in flight, then the sandboxes, each of which has a bounded time to stop. */
const MAX_CLEAN_UP_MS = 120_000;

export function startCommand(ctx: CliContext): CliCommand {
  const command = new CliCommand("start");
  return addStartOptions(command)
    .summary("start the server, here or in the background")
    .description(
      "Start the server. In this terminal it serves until Ctrl-C, in the background until msb-ts server stop. " +
        "Then it takes no new requests, gives those under way ten seconds, and stops the sandboxes; a second " +
        "Ctrl-C ends it at once. When a server with the same address and mode runs already, this says so and " +
        "succeeds.",
    )
    .jsonOption()
    .example("For clients on this machine, without keys", "msb-ts server start --dev")
    .example(
      "In the background, on a port of your choice",
      "msb-ts server start --detach --port 6000",
    )
    .example("Let sandboxes outlive a restart", "msb-ts server start --shutdown detach")
    .action((opts: StartOpts) => start(ctx, command, opts));
}

async function start(ctx: CliContext, command: CliCommand, opts: StartOpts): Promise<void> {
  if (opts.key !== undefined) throw keyOnCommandLine(command);
  const settings = serverConfig(serverOptsOf(opts), ctx.env);
  const paths = homePaths(ctx, opts);
  const known = { ctx, opts, settings, paths };
  if (opts.asDaemon) return serveInBackground(known);
  try {
    if (opts.detach) {
      const server = await startDetached(ctx, paths, wordsOf(command));
      announce(ctx, opts, server);
    } else {
      await serveHere(known);
    }
  } catch (error) {
    if (!isSameServer(error, settings)) throw error;
    const { pid, url } = error.details;
    if (opts.json) printJson(ctx, { pid, url, alreadyRunning: true });
    else printLine(ctx, `A server runs already: ${String(url)}, process ${String(pid)}`);
  }
}

interface Known {
  readonly ctx: CliContext;
  readonly opts: StartOpts;
  readonly settings: ServerSettings;
  readonly paths: MsbPaths;
}

async function serveHere(known: Known): Promise<void> {
  const { ctx, opts } = known;
  const format = opts.jsonLogs || !isTerminal(ctx.stderr) ? "json" : "lines";
  const log = { format, target: ctx.stderr, file: null } as const;
  await serveUntilStopped(known, log, (server) => announce(ctx, opts, server.process));
}

/** What `--detach` starts: tells its parent how the start went, and logs to a file. */
async function serveInBackground(known: Known): Promise<void> {
  const { RotatingFile } = await import("../../../server/process/rotating-file.js");
  const parent = known.ctx.service.parent();
  const target = new RotatingFile({ path: known.paths.serverLog });
  const log = { format: "json", target, file: known.paths.serverLog(0) } as const;
  try {
    await serveUntilStopped(known, log, (server) => tellReady(parent, server));
  } catch (error) {
    await parent?.tell(failedMessage(error));
    parent?.letGo();
    throw error;
  } finally {
    target.close();
  }
}

async function tellReady(parent: ParentLink | null, server: RunningServer): Promise<void> {
  await parent?.tell(readyMessage(server.process));
  parent?.letGo();
}

interface LogPlace {
  readonly format: "json" | "lines";
  readonly target: { write(text: string): unknown };
  readonly file: string | null;
}

async function serveUntilStopped(
  known: Known,
  log: LogPlace,
  onReady: (server: RunningServer) => Promise<void> | void,
): Promise<void> {
  const { ctx, opts, settings, paths } = known;
  const { openServerLog } = await import("../../../server/process/server-log.js");
  const { startServer } = await ctx.service.server();
  const logger = openServerLog({
    level: settings.logLevel,
    format: log.format,
    target: log.target,
  });
  ctx.service.expectStop({
    endsWithTerminal: log.file === null && isTerminal(ctx.stderr),
    maxCleanUpMs: MAX_CLEAN_UP_MS,
  });
  ctx.service.onCrash((error) => {
    logger.fatal({ err: error }, "The server ends; sandboxes wait for the next one");
  });
  const server = await startServer(settings, {
    paths,
    env: ctx.env,
    logger,
    logFile: log.file,
    version: packageVersion(),
    resetKey: opts.resetKey === true,
    signal: ctx.signal,
  });
  try {
    await onReady(server);
    await aborted(ctx.signal);
    logger.info({ sandboxes: settings.shutdown }, "The server is being stopped");
  } finally {
    await server.close();
  }
  logger.info("The server has stopped");
}

function announce(ctx: CliContext, opts: StartOpts, server: ServerProcess): void {
  if (opts.json) return printJson(ctx, processView(server));
  printLine(ctx, `Server listening on ${server.address}`);
  if (server.isDev) printLine(ctx, "Running in development mode");
  if (server.logFile === null) return;
  printLine(ctx, `URL: ${server.url}`);
  printLine(ctx, `Process: ${server.pid}`);
  printLine(ctx, `Log: ${server.logFile}`);
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
}

/** Scripts start a server without looking whether there is one. */
function isSameServer(
  error: unknown,
  settings: ServerSettings,
): error is Error & { details: Record<string, unknown> } {
  if (!isMsbError(error, "MSB_ERR_SERVER_RUNNING")) return false;
  const { address, isDev } = error.details;
  return address === hostPort(settings.host, settings.port) && isDev === settings.isDev;
}

function keyOnCommandLine(command: CliCommand): UsageError {
  return new UsageError(
    command,
    "--key is refused, because every user of this machine can see it in the list of processes. Put the key in a " +
      "file that only you can read (chmod 600) and give --key-file.",
  );
}
