/** Errors and warnings for people or programs on stderr, and the exit code they stand for. */
import { constants } from "node:os";
import { inspect } from "node:util";
import { type ErrorCode, ERROR_CODES, isMsbError, messageOf, MsbError } from "../errors.js";
import { printable } from "../util/printable.js";
import { UsageError } from "./command.js";
import type { CliContext } from "./context.js";
import { toJson } from "./output.js";

/** No honest message is as long; the rest is in the details. */
const MAX_MESSAGE = 16 * 1024;

/** What servers do not say, as they do not know who asks. */
const ADVICE: Partial<Record<ErrorCode, string>> = {
  MSB_ERR_UNAUTHENTICATED:
    "MSB_API_KEY=KEY with a key of that server, which its owner makes with msb-ts server keygen",
};

/** Why a command is to end: the name of the signal is in the details. */
export function stopReason(signal: NodeJS.Signals): MsbError {
  return new MsbError("MSB_ERR_ABORTED", `Stopped by ${signal}.`, { details: { signal } });
}

/** 128 and the number of the signal that stopped the command, as shells count; undefined if none did. */
export function stopExitCode(signal: AbortSignal): number | undefined {
  const name = stopSignal(signal);
  return name === undefined ? undefined : 128 + constants.signals[name];
}

function stopSignal(signal: AbortSignal): NodeJS.Signals | undefined {
  if (!signal.aborted || !isMsbError(signal.reason, "MSB_ERR_ABORTED")) return undefined;
  const name = signal.reason.details["signal"];
  return typeof name === "string" && name in constants.signals
    ? (name as NodeJS.Signals)
    : undefined;
}

/** Writes what went wrong to stderr; the exit code is that of the first error. */
export function reportErrors(
  ctx: CliContext,
  thrown: readonly unknown[],
  opts: { json: boolean },
): number {
  // Nobody reads on: there is nobody to tell, and nothing is wrong.
  if (stopSignal(ctx.signal) === "SIGPIPE") return stopExitCode(ctx.signal)!;
  const errors = thrown.map((error) => asMsbError(error, ctx.signal));
  const isDebug = ctx.env["MSB_DEBUG"] === "1";
  for (const error of errors) {
    ctx.stderr.write(opts.json ? jsonReport(error, isDebug) : textReport(error, isDebug));
  }
  return stopExitCode(ctx.signal) ?? ERROR_CODES[errors[0]?.code ?? "MSB_ERR_INTERNAL"].exitCode;
}

/** Warnings look like errors and change no exit code. */
export function reportWarnings(ctx: CliContext, opts: { json: boolean }): void {
  for (const warning of ctx.warnings) {
    const message = printable(warning.slice(0, MAX_MESSAGE)).trimEnd();
    const line = opts.json ? toJson({ warning: { message } }) : `msb-ts: warning: ${message}`;
    ctx.stderr.write(`${line}\n`);
  }
}

/** What a stopped library throws is not news: the reason for stopping is. */
function asMsbError(error: unknown, signal: AbortSignal): MsbError {
  if (isMsbError(error)) return error;
  if (signal.aborted && isMsbError(signal.reason)) return signal.reason;
  return new MsbError(
    "MSB_ERR_INTERNAL",
    `${messageOf(error)}. This is a bug of msb-ts: please report it with what the same command prints ` +
      "with MSB_DEBUG=1.",
    { cause: error },
  );
}

function textReport(error: MsbError, isDebug: boolean): string {
  const message = printable(error.message.slice(0, MAX_MESSAGE)).trimEnd();
  const advice = error instanceof UsageError ? error.help : ADVICE[error.code];
  const hint = advice === undefined ? "" : `Try: ${advice}\n`;
  const stack = isDebug ? `${printable(inspect(error))}\n` : "";
  const separator = message.includes("\n") ? "\n" : " ";
  return `msb-ts: ${message}${separator}(${error.code})\n${hint}${stack}`;
}

function jsonReport(error: MsbError, isDebug: boolean): string {
  const stack = isDebug ? { stack: inspect(error) } : {};
  return `${toJson({ error: { ...error.toJSON(), ...stack } })}\n`;
}
