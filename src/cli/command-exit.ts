/** Exit codes of commands that run in a sandbox, as shells and `docker run` give them. */
import type { CommandRecord } from "../api/commands.js";
import { ERROR_CODES, isMsbError } from "../errors.js";

export type CommandEnd = Extract<CommandRecord, { type: "end" }>;

const WRONG_WORDS = 2;
const TIMED_OUT = 124;
/** It did not come to the command. */
const OUR_FAILURE = 125;
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;
const SIGNAL_BASE = 128;
const SIGKILL = 9;
/** Of the guest, which is a Linux. */
const ENOENT = 2;

export function exitCodeOf(end: CommandEnd): number {
  return end.reason === "timeout" ? TIMED_OUT : statusCode(end);
}

/** The command's own, or what stands for the signal that ended it. */
export function statusCode({ exitCode, signal }: Pick<CommandEnd, "exitCode" | "signal">): number {
  return exitCode ?? SIGNAL_BASE + (signal ?? SIGKILL);
}

/** What the command cannot have said itself about its end; null when nothing is to be said. */
export function endNote(end: CommandEnd): string | null {
  if (end.reason === "timeout") return "The command ran longer than its --timeout and was killed.";
  if (end.reason !== "outOfMemory") return null;
  return "The command was killed because the sandbox was out of memory: give it more with create --memory.";
}

export function failureExitCode(error: unknown): number {
  if (!isMsbError(error)) return OUR_FAILURE;
  if (error.code === "MSB_ERR_EXEC_TIMEOUT") return TIMED_OUT;
  if (ERROR_CODES[error.code].exitCode === WRONG_WORDS) return WRONG_WORDS;
  const { operation, errno } = error.details;
  if (error.code !== "MSB_ERR_EXEC_FAILED" || operation !== "execve") return OUR_FAILURE;
  return errno === ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
}
