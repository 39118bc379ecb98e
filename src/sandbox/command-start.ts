/** What every command of a guest has: checks of what was asked for, its start, and errors that name it. */
import type { AgentClient } from "../agent/agent-client.js";
import type { ExecSession } from "../agent/exec-session.js";
import type { PtySize } from "../agent/messages.js";
import { isMsbError, MsbError } from "../errors.js";
import { printable } from "../util/printable.js";
import type { GuestContext } from "./guest-env.js";
import type { CommandRequest } from "./service.js";
import { invalid } from "./spec.js";

/** What a C int of milliseconds holds, for the agent. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
const MAX_ARGS = 4095;

export interface StartCommandOpts extends GuestContext {
  /** Default is /dev/null as standard input. */
  readonly stdin?: boolean;
  /** Gives it a terminal of this size. */
  readonly pty?: PtySize;
  /** Kills the command. */
  readonly signal: AbortSignal | undefined;
}

/** Throws MSB_ERR_INVALID_ARGUMENT, before the guest hears of it, and MSB_ERR_EXEC_FAILED. */
export async function startCommand(
  agent: Pick<AgentClient, "exec">,
  request: CommandRequest,
  opts: StartCommandOpts,
): Promise<ExecSession> {
  checkCommand(request);
  const { env, workdir, user, stdin = false, pty, signal } = opts;
  try {
    return await agent.exec([request.command, ...request.args], {
      env,
      cwd: workdir,
      user,
      timeoutMs: request.timeoutMs,
      ...(stdin ? { stdin } : {}),
      ...(pty === undefined ? {} : { pty }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    throw startError(error, request);
  }
}

/** For messages: a command may be anything. */
export function commandName({ command }: CommandRequest): string {
  return printable(command.slice(0, 200));
}

function checkCommand({ command, args, timeoutMs }: CommandRequest): void {
  if (command === "" || command.includes("\0")) {
    throw invalid("command", command, "name a program, without a zero byte");
  }
  if (args.length > MAX_ARGS) throw invalid("args", args.length, `use at most ${MAX_ARGS}`);
  const withZero = args.find((arg) => arg.includes("\0"));
  if (withZero !== undefined) throw invalid("args", withZero, "leave out the zero byte");
  if (!Number.isSafeInteger(timeoutMs) || timeoutMs < 0 || timeoutMs > MAX_TIMEOUT_MS) {
    throw invalid("timeoutMs", timeoutMs, `use a whole number from 0 to ${MAX_TIMEOUT_MS}`);
  }
}

function startError(error: unknown, request: CommandRequest): unknown {
  if (!isMsbError(error, "MSB_ERR_EXEC_FAILED")) return error;
  const command = commandName(request);
  return new MsbError(error.code, `The command ${command} cannot be run: ${error.message}`, {
    cause: error,
    details: { ...error.details, command },
  });
}
