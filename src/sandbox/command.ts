/** One command in a guest, from its start to its lines. */
import type { AgentClient } from "../agent/agent-client.js";
import { Channel } from "../agent/frame.js";
import type { CollectedOutput } from "../agent/exec-session.js";
import { isMsbError, MsbError } from "../errors.js";
import { OutputLines } from "../util/output-lines.js";
import { printable } from "../util/printable.js";
import { invalid } from "./spec.js";
import type { CommandRequest, CommandResult, OutputLine } from "./service.js";
import type { GuestContext } from "./guest-env.js";

/** What a C int of milliseconds holds, for the agent. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
const MAX_ARGS = 4095;

export interface RunCommandOpts extends GuestContext {
  /** Of both streams together; a command that writes more is killed. */
  readonly maxOutputBytes: number;
  /** Kills the command. */
  readonly signal: AbortSignal | undefined;
}

/** Throws as SandboxService.runCommand. */
export async function runGuestCommand(
  agent: Pick<AgentClient, "exec">,
  request: CommandRequest,
  opts: RunCommandOpts,
): Promise<CommandResult> {
  checkCommand(request);
  const collected = await collect(agent, request, opts);
  const { exitCode, signal, timedOut, oomKilled } = collected.exit;
  if (timedOut) throw timeoutError(request);
  return { exitCode, signal, oomKilled, lines: linesOf(collected) };
}

async function collect(
  agent: Pick<AgentClient, "exec">,
  request: CommandRequest,
  opts: RunCommandOpts,
): Promise<CollectedOutput> {
  const { env, workdir, user, maxOutputBytes, signal } = opts;
  const withSignal = signal === undefined ? {} : { signal };
  try {
    const session = await agent.exec([request.command, ...request.args], {
      env,
      cwd: workdir,
      user,
      timeoutMs: request.timeoutMs,
      ...withSignal,
    });
    return await session.collect({ maxBytes: maxOutputBytes, ...withSignal });
  } catch (error) {
    throw commandError(error, request, maxOutputBytes);
  }
}

function linesOf({ chunks }: CollectedOutput): readonly OutputLine[] {
  const lines = new OutputLines();
  for (const { channel, data } of chunks) {
    lines.push(channel === Channel.stderr ? "stderr" : "stdout", data);
  }
  return lines.finish();
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

/** The text that clients know. */
function timeoutError({ command, timeoutMs }: CommandRequest): MsbError {
  return new MsbError("MSB_ERR_EXEC_TIMEOUT", `Command timeout after ${timeoutMs / 1000} seconds`, {
    details: { command: nameOf(command), timeoutMs },
  });
}

function commandError(error: unknown, request: CommandRequest, maxOutputBytes: number): unknown {
  const command = nameOf(request.command);
  if (isMsbError(error, "MSB_ERR_EXEC_FAILED")) {
    return new MsbError(error.code, `The command ${command} cannot be run: ${error.message}`, {
      cause: error,
      details: { ...error.details, command },
    });
  }
  if (isMsbError(error, "MSB_ERR_OUTPUT_LIMIT")) {
    return new MsbError(
      error.code,
      `The command ${command} wrote more than ${maxOutputBytes} bytes and was killed. Let it write to a file, or ` +
        "raise the server's limit (--max-output-mib).",
      { cause: error, details: { command, maxOutputBytes } },
    );
  }
  return error;
}

function nameOf(command: string): string {
  return printable(command.slice(0, 200));
}
