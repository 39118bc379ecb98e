/** Programs that run to their end, in a pipe or in a terminal. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

const TERMINAL = fileURLToPath(new URL("terminal.py", import.meta.url));

export interface ProgramOpts {
  /** On top of this process's own, from which what changes output is taken. */
  readonly env?: Record<string, string>;
  readonly input?: string | Buffer;
  /** Each when its text has shown up on stderr, in this order. */
  readonly signals?: readonly (readonly [text: string, signal: NodeJS.Signals])[];
}

export interface ProgramEnd {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `argv` with pipes. */
export async function runProgram(
  argv: readonly string[],
  opts: ProgramOpts = {},
): Promise<ProgramEnd> {
  const child = spawn(argv[0]!, argv.slice(1), {
    env: { ...quietEnv(), ...opts.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  // A program that does not read its input closes it.
  child.stdin.on("error", () => {});
  child.stdin.end(opts.input ?? "");
  const [stdout, stderr] = [collected(child.stdout), collected(child.stderr)];
  sendSignals(child, opts.signals ?? []);
  const [exitCode, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  return { exitCode, signal, stdout: stdout(), stderr: stderr() };
}

export interface TerminalOpts {
  readonly env?: Record<string, string>;
  /** What is typed when a text shows up, in this order. */
  readonly answers?: readonly (readonly [text: string, keys: string])[];
  readonly rows?: number;
  readonly columns?: number;
}

/** Runs `argv` in a pseudo-terminal; `stdout` is all that it was sent, and it is not left in another mode. */
export async function runInTerminal(
  argv: readonly string[],
  opts: TerminalOpts = {},
): Promise<ProgramEnd> {
  const { env, ...job } = opts;
  const end = await runProgram(["python3", TERMINAL, JSON.stringify({ argv, ...job })], {
    env: { TERM: "xterm", ...env },
  });
  if (end.stderr !== "") throw new Error(end.stderr);
  return end;
}

function quietEnv(): NodeJS.ProcessEnv {
  const { CI: _ci, MSB_DEBUG: _debug, TERM: _term, ...env } = process.env;
  return env;
}

function collected(stream: Readable): () => string {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString();
}

function sendSignals(
  child: ChildProcessByStdio<Writable, Readable, Readable>,
  signals: NonNullable<ProgramOpts["signals"]>,
): void {
  const pending = [...signals];
  let seen = "";
  child.stderr.on("data", (chunk: Buffer) => {
    seen += chunk.toString();
    const [next] = pending;
    if (next === undefined || !seen.includes(next[0])) return;
    pending.shift();
    seen = seen.slice(seen.indexOf(next[0]) + next[0].length);
    child.kill(next[1]);
  });
}
