/** The results of the calls that clients of the old server know, as JSON-RPC and MCP give them. */
import type {
  CommandRequest,
  CommandResult,
  OutputLine,
  SandboxMetrics,
} from "../../sandbox/service.js";

export function startText(name: string): string {
  return `Sandbox ${name} started successfully`;
}

export function stopText(name: string): string {
  return `Sandbox ${name} stopped successfully`;
}

export interface MetricsResult {
  /** Exactly these six members; the numbers are null while the sandbox does not run. */
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

export function metricsResult(all: readonly SandboxMetrics[]): MetricsResult {
  return { sandboxes: all.map(oneSandbox) };
}

function oneSandbox({
  namespace,
  name,
  running,
  cpuPercent,
  memoryMiB,
  diskBytes,
}: SandboxMetrics): MetricsResult["sandboxes"][number] {
  const whole = (value: number | null): number | null =>
    value === null || !running ? null : Math.floor(value);
  return {
    namespace,
    name,
    running,
    cpu_usage: running ? cpuPercent : null,
    memory_usage: whole(memoryMiB),
    disk_usage: whole(diskBytes),
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
    output: lines.map(({ stream, text }) => ({ stream, text })),
  };
}
