/** The process around a command: its streams, its signals, its end. */
import { isMsbError, MsbError } from "../errors.js";
import { type CliContext, type ImagesApi, isTerminal, type RunOnce } from "./context.js";
import { reportErrors, stopExitCode, stopReason } from "./error-report.js";
import { runCli, wantsJson } from "./run.js";
import { processServiceHost, type ServerModule, type ServiceHost } from "./service-host.js";

const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** A clean-up that takes longer is announced. */
const QUIET_CLEAN_UP_MS = 1_000;
/** A clean-up that takes longer than this has failed. */
const MAX_CLEAN_UP_MS = 30_000;

/** `onWarning` is told of what is wrong and does not stop the work. */
export type OpenImages = (opts: { onWarning: (message: string) => void }) => Promise<ImagesApi>;

/** What is heavy to load, and is loaded by the command that needs it. */
export interface HeavyParts {
  readonly images: OpenImages;
  readonly server: () => Promise<ServerModule>;
  readonly runOnce: RunOnce;
}

/** Runs the command line of `host` and ends it with the command's exit code. */
export async function startCli(host: NodeJS.Process, parts: HeavyParts): Promise<void> {
  const args = host.argv.slice(2);
  const stop = new AbortController();
  const service = processServiceHost(host, parts.server, stop);
  const ctx = processContext(host, stop.signal, parts, service);
  stopOnSignals(host, stop, service);
  stopOnLostOutput(host, stop);
  const fail = (error: unknown): never =>
    host.exit(reportErrors(ctx, [error], { json: wantsJson(args) }));
  boundCleanUp(host, ctx.signal, service, fail);
  host.on("uncaughtException", fail);
  // With nothing left to wait for, node would end without a word.
  host.once("beforeExit", () => fail(new Error("The command waits for what cannot happen")));
  host.exit(await runCli(args, ctx));
}

function processContext(
  host: NodeJS.Process,
  signal: AbortSignal,
  parts: HeavyParts,
  service: ServiceHost,
): CliContext {
  let opened: Promise<ImagesApi> | undefined;
  const warnings: string[] = [];
  const onWarning = (message: string): void => void warnings.push(message);
  return {
    // Getters: a standard stream is set up on first use, and standard input is not always wanted.
    get stdin() {
      return host.stdin;
    },
    get stdout() {
      return host.stdout;
    },
    get stderr() {
      return host.stderr;
    },
    env: host.env,
    signal,
    now: Date.now,
    images: () => (opened ??= parts.images({ onWarning })),
    runOnce: parts.runOnce,
    service,
    warnings,
    close: async () => {
      // Who asked for what could not be opened has heard of it.
      const images = await opened?.catch(() => undefined);
      await images?.[Symbol.asyncDispose]();
    },
  };
}

/** The first signal asks the command to end, the second does not ask unless the command can hurry; a third never does. */
function stopOnSignals(host: NodeJS.Process, stop: AbortController, service: ServiceHost): void {
  let isHurried = false;
  for (const name of STOP_SIGNALS) {
    host.on(name, () => {
      if (name === "SIGHUP" && service.stopPolicy?.endsWithTerminal === false) return;
      if (!stop.signal.aborted) return stop.abort(stopReason(name));
      const hurry = service.stopPolicy?.hurry;
      if (hurry === undefined || isHurried) {
        host.exit(stopExitCode(AbortSignal.abort(stopReason(name))));
      }
      isHurried = true;
      hurry();
    });
  }
}

/** Whatever stops the command, its clean-up does not take for ever. */
function boundCleanUp(
  host: NodeJS.Process,
  signal: AbortSignal,
  service: ServiceHost,
  fail: (error: unknown) => never,
): void {
  const announce = (): void => {
    if (isTerminal(host.stderr)) host.stderr.write("Cleaning up; a second Ctrl-C ends at once.\n");
  };
  signal.addEventListener("abort", () => {
    setTimeout(announce, QUIET_CLEAN_UP_MS).unref();
    const limitMs = service.stopPolicy?.maxCleanUpMs ?? MAX_CLEAN_UP_MS;
    setTimeout(() => fail(signal.reason), limitMs).unref();
  });
}

function stopOnLostOutput(host: NodeJS.Process, stop: AbortController): void {
  host.stdout.on("error", (error) => stop.abort(outputError(error)));
  // Work does not end because nobody watches it.
  host.stderr.on("error", () => {});
}

/** A reader that has gone, such as `head`, is no failure; shells expect the code of SIGPIPE. */
function outputError(error: NodeJS.ErrnoException): MsbError {
  if (isMsbError(error)) return error;
  if (error.code === "EPIPE" || error.code === "EIO") return stopReason("SIGPIPE");
  return new MsbError(
    error.code === "ENOSPC" ? "MSB_ERR_NO_SPACE" : "MSB_ERR_FILE_FAILED",
    `Standard output cannot be written: ${error.message}.`,
    { cause: error },
  );
}
