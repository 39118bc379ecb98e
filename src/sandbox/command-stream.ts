/** One command in a guest, its output as it comes. */
import type { AgentClient } from "../agent/agent-client.js";
import type { ExecSession } from "../agent/exec-session.js";
import { Channel } from "../agent/frame.js";
import type { ExecExit } from "../agent/messages.js";
import { abortableChunks } from "../util/abortable-chunks.js";
import { commandName, startCommand } from "./command-start.js";
import type { GuestContext } from "./guest-env.js";
import type { CommandEndReason, CommandEvent, StreamCommandRequest } from "./service.js";

export interface StreamCommandOpts extends GuestContext {
  /** Kills the command. */
  readonly signal: AbortSignal | undefined;
}

/** As SandboxService.streamCommand; what the request adds to the sandbox's context is in `opts` already. */
export async function* streamGuestCommand(
  agent: Pick<AgentClient, "exec">,
  request: StreamCommandRequest,
  opts: StreamCommandOpts,
): AsyncGenerator<CommandEvent, void, undefined> {
  const { stdin = new Uint8Array() } = request;
  const hasInput = stdin.length > 0;
  const startedAtMs = performance.now();
  const session = await startCommand(agent, request, { ...opts, stdin: hasInput });
  const end = session.exited.then((exit) => endEvent(exit, performance.now() - startedAtMs));
  // The output fails with the same error, and is read first.
  end.catch(() => {});
  try {
    if (hasInput) void feed(session, stdin);
    const what = `The command ${commandName(request)}`;
    for await (const { channel, data } of abortableChunks(session.output, opts.signal, what)) {
      yield { type: channel === Channel.stderr ? "stderr" : "stdout", data };
    }
    yield await end;
  } finally {
    // What cannot be closed for want of a connection is closed by the next one.
    await session.close().catch(() => {});
  }
}

async function feed(session: ExecSession, stdin: Uint8Array): Promise<void> {
  try {
    await session.write(stdin);
    session.endStdin();
  } catch {
    // It ended, or was closed, before it had read all: how is told by its end.
  }
}

function endEvent(exit: ExecExit, durationMs: number): CommandEvent {
  const { exitCode, signal } = exit;
  return { type: "end", reason: endReason(exit), exitCode, signal, durationMs };
}

function endReason({ signal, timedOut, oomKilled }: ExecExit): CommandEndReason {
  if (timedOut) return "timeout";
  if (oomKilled) return "outOfMemory";
  return signal === null ? "exited" : "killed";
}
