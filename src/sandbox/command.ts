/** One command in a guest, from its start to its lines. */
import type { AgentClient } from "../agent/agent-client.js";
import { Channel } from "../agent/frame.js";
import type { CollectedOutput } from "../agent/exec-session.js";
import { isMsbError, MsbError } from "../errors.js";
import { OutputLines } from "../util/output-lines.js";
import { commandName, startCommand } from "./command-start.js";
import type { CommandRequest, CommandResult, OutputLine } from "./service.js";
import type { GuestContext } from "./guest-env.js";

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
  const { maxOutputBytes, signal } = opts;
  const session = await startCommand(agent, request, opts);
  try {
    return await session.collect({
      maxBytes: maxOutputBytes,
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    throw isMsbError(error, "MSB_ERR_OUTPUT_LIMIT") ? outputLimit(error, request, opts) : error;
  }
}

function linesOf({ chunks }: CollectedOutput): readonly OutputLine[] {
  const lines = new OutputLines();
  for (const { channel, data } of chunks) {
    lines.push(channel === Channel.stderr ? "stderr" : "stdout", data);
  }
  return lines.finish();
}

/** The text that clients know. */
function timeoutError(request: CommandRequest): MsbError {
  const { timeoutMs } = request;
  return new MsbError("MSB_ERR_EXEC_TIMEOUT", `Command timeout after ${timeoutMs / 1000} seconds`, {
    details: { command: commandName(request), timeoutMs },
  });
}

function outputLimit(
  error: MsbError,
  request: CommandRequest,
  { maxOutputBytes }: RunCommandOpts,
): MsbError {
  const command = commandName(request);
  return new MsbError(
    error.code,
    `The command ${command} wrote more than ${maxOutputBytes} bytes and was killed. Let it write to a file, or ` +
      "raise the server's limit (--max-output-mib).",
    { cause: error, details: { command, maxOutputBytes } },
  );
}
