/** The only place that starts host processes (microVMs start in the addon). */
import { spawn } from "node:child_process";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { MsbError } from "../errors.js";
import { abortReason } from "./async.js";
import { RingBuffer } from "./ring-buffer.js";

/** More of a tool's output than this is dropped from the front. */
const MAX_CAPTURE_BYTES = 64 * 1024;
/** A tool that ignores SIGTERM is killed after so long. */
const KILL_GRACE_MS = 2_000;

/** Where tools live that an ordinary user's PATH does not name. */
const EXTRA_FOLDERS = [
  "/usr/local/sbin",
  "/usr/sbin",
  "/sbin",
  "/opt/homebrew/bin",
  "/opt/homebrew/opt/e2fsprogs/sbin",
  "/usr/local/opt/e2fsprogs/sbin",
];

export interface ToolResult {
  /** null when a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The last 64 KiB each. */
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunToolOpts {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Words for the message when the tool is not there, such as "install the package e2fsprogs". */
  readonly installHint?: string;
}

/**
 * Runs a program without a shell and without input. A non-zero exit is a result, not an error.
 * Throws MSB_ERR_TOOL_MISSING, MSB_ERR_ABORTED, and MSB_ERR_REQUEST_TIMEOUT when `timeoutMs` is up.
 */
export async function runTool(
  path: string,
  args: readonly string[],
  opts: RunToolOpts = {},
): Promise<ToolResult> {
  if (opts.signal?.aborted) throw abortReason(opts.signal, path);
  const child = spawn(path, args, {
    cwd: opts.cwd,
    env: opts.env ?? process.env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stdout = new RingBuffer(MAX_CAPTURE_BYTES);
  const stderr = new RingBuffer(MAX_CAPTURE_BYTES);
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));

  let stopError: MsbError | undefined;
  const timers: NodeJS.Timeout[] = [];
  const stopWith = (error: MsbError): void => {
    stopError ??= error;
    child.kill("SIGTERM");
    timers.push(setTimeout(() => child.kill("SIGKILL"), KILL_GRACE_MS));
  };
  const { signal, timeoutMs } = opts;
  const onAbort = (): void => stopWith(abortReason(signal!, path));
  signal?.addEventListener("abort", onAbort, { once: true });
  if (timeoutMs !== undefined) {
    timers.push(setTimeout(() => stopWith(timedOut(path, timeoutMs)), timeoutMs));
  }
  try {
    const end = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once("error", (error) => reject(startError(path, error, opts.installHint)));
      child.once("close", (exitCode, endSignal) => resolve([exitCode, endSignal]));
    });
    if (stopError !== undefined) throw stopError;
    return {
      exitCode: end[0],
      signal: end[1],
      stdout: stdout.toString(),
      stderr: stderr.toString(),
    };
  } finally {
    signal?.removeEventListener("abort", onAbort);
    for (const timer of timers) clearTimeout(timer);
  }
}

/** The executable `name` from PATH or from the folders where system tools are; undefined if there is none. */
export async function findExecutable(
  name: string,
  opts: { env?: Readonly<Record<string, string | undefined>> } = {},
): Promise<string | undefined> {
  const env = opts.env ?? process.env;
  const folders = [...(env["PATH"] ?? "").split(delimiter), ...EXTRA_FOLDERS];
  for (const folder of folders) {
    if (!folder.startsWith("/")) continue;
    const path = join(folder, name);
    const isExecutable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isExecutable) return path;
  }
  return undefined;
}

function startError(path: string, error: Error, installHint = "install it"): MsbError {
  const code = (error as NodeJS.ErrnoException).code;
  const why = code === "ENOENT" ? "it is not there" : (code ?? error.message);
  return new MsbError(
    "MSB_ERR_TOOL_MISSING",
    `The program ${path} cannot be started (${why}): ${installHint}.`,
    { cause: error, details: { path } },
  );
}

function timedOut(path: string, timeoutMs: number): MsbError {
  return new MsbError(
    "MSB_ERR_REQUEST_TIMEOUT",
    `${path} did not end within ${timeoutMs} ms and was killed.`,
    { details: { path, timeoutMs } },
  );
}
