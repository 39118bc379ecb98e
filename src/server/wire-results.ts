/** The results of the five calls that clients of the old server know, as JSON-RPC and MCP give them. */
import type { RunEvent } from "../kernel/run-types.js";
import type {
  CommandRequest,
  CommandResult,
  OutputLine,
  SandboxMetrics,
} from "../sandbox/service.js";
import { OutputLines } from "./output-lines.js";

export function startText(name: string): string {
  return `Sandbox ${name} started successfully`;
}

export function stopText(name: string): string {
  return `Sandbox ${name} stopped successfully`;
}

export interface MetricsResult {
  readonly sandboxes: readonly {
    readonly namespace: string;
    readonly name: string;
    readonly running: boolean;
    /** Percent of one core of the host. */
    readonly cpu_usage: number | null;
    /** MiB, whole. */
    readonly memory_usage: number | null;
    /** Bytes. */
    readonly disk_usage: number | null;
  }[];
}

export function metricsResult(infos: readonly SandboxMetrics[]): MetricsResult {
  return {
    sandboxes: infos.map((info) => ({
      namespace: info.namespace,
      name: info.name,
      running: info.running,
      cpu_usage: info.cpuPercent,
      memory_usage: info.memoryMiB === null ? null : Math.floor(info.memoryMiB),
      disk_usage: info.diskBytes === null ? null : Math.floor(info.diskBytes),
    })),
  };
}

export interface WireCommandResult {
  readonly command: string;
  readonly args: readonly string[];
  readonly exit_code: number;
  readonly success: boolean;
  readonly output: readonly OutputLine[];
}

export function commandResult(
  { command, args }: Pick<CommandRequest, "command" | "args">,
  { exitCode, lines }: Pick<CommandResult, "exitCode" | "lines">,
): WireCommandResult {
  return {
    command,
    args,
    // A program that a signal ended has 1 on this wire.
    exit_code: exitCode ?? 1,
    success: exitCode === 0,
    output: lines,
  };
}

export interface ReplResult {
  readonly status: "success" | "error";
  /** As it was asked for. */
  readonly language: string;
  readonly output: readonly OutputLine[];
}

/** `timeoutS` is what the run was allowed, for the line that says it was too long. */
export function replResult(
  language: string,
  events: Iterable<RunEvent>,
  timeoutS: number,
): ReplResult {
  const lines = new OutputLines();
  let end: RunEnd | undefined;
  for (const event of events) {
    if (event.type === "stdout" || event.type === "stderr") lines.push(event.type, event.text);
    // The interactive interpreter would echo it.
    if (event.type === "result" && event.result.text !== undefined) {
      lines.push("stdout", `${event.result.text}\n`);
    }
    if (event.type === "end") end = event;
  }
  const notes = end === undefined ? [] : endNotes(end, timeoutS);
  return {
    status: end?.status ?? "error",
    language,
    output: [...lines.end(), ...notes.map((text) => ({ stream: "stderr" as const, text }))],
  };
}

type RunEnd = Extract<RunEvent, { type: "end" }>;

/** What the code cannot have said itself about its end. */
function endNotes(end: RunEnd, timeoutS: number): string[] {
  const notes: string[] = [];
  if (end.reason === "timeout") notes.push(`Error: Execution timed out after ${timeoutS} seconds`);
  if (end.reason === "interrupted") notes.push("Error: Execution was interrupted");
  if (end.reason === "died") notes.push("Error: The interpreter ended while it ran the code");
  if (end.stateLost) notes.push("Error: A new interpreter was started; all its state was lost");
  return notes;
}
