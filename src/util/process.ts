/** The only place that starts host processes (microVMs start in the addon). */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:fs";
import { access, open } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { MsbError } from "../errors.js";
import { abortReason } from "./async.js";
import { RingBuffer } from "./ring-buffer.js";

/** More of a tool's output than this is dropped from the front. */
const MAX_CAPTURE_BYTES = 64 * 1024;
/** A tool that ignores SIGTERM is killed after so long. */
const KILL_GRACE_MS = 2_000;
const GROUP_LOOK_MS = 10;
/** Killed children of a child count as there until the system's first process has taken note of them. */
const GROUP_KILL_MS = 500;

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
  /** Written to its standard input; without it, it reads an end of file at once. */
  readonly input?: string | Uint8Array;
  /** Words for the message when the tool is not there, such as "install the package e2fsprogs". */
  readonly installHint?: string;
}

/**
 * Runs a program without a shell. A non-zero exit is a result, not an error.
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
    stdio: ["pipe", "pipe", "pipe"],
  });
  // A tool that ends without reading all of it has its reasons: they are in its exit code.
  child.stdin.on("error", () => {});
  child.stdin.end(opts.input);
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

export interface StreamToolOpts {
  readonly signal?: AbortSignal;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly installHint?: string;
  /** Pieces of what it writes to standard error, as they come. */
  readonly onStderr?: (chunk: Buffer) => void;
  /** How long it may take after SIGTERM to put away what it made, default 2 s; then it is killed. */
  readonly graceMs?: number;
  /** The error for an end other than exit 0; `stdout` is empty in the result. */
  readonly failed: (result: ToolResult) => Error;
}

/**
 * What a program writes to standard output, as it comes; no shell, no input. The stream ends after the program
 * has ended with exit 0, else it throws `failed(...)`, MSB_ERR_TOOL_MISSING or MSB_ERR_ABORTED, so whoever keeps
 * the bytes never takes half of them for the whole. The program runs in a process group of its own; when the
 * reader stops early, all of it is ended.
 */
export async function* streamTool(
  path: string,
  args: readonly string[],
  opts: StreamToolOpts,
): AsyncGenerator<Buffer, void, undefined> {
  const { signal } = opts;
  if (signal?.aborted) throw abortReason(signal, path);
  const child = spawn(path, args, {
    cwd: opts.cwd,
    env: opts.env ?? process.env,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const stderr = new RingBuffer(MAX_CAPTURE_BYTES);
  child.stderr.on("data", (chunk: Buffer) => {
    stderr.push(chunk);
    opts.onStderr?.(chunk);
  });
  const ended = new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once("error", (error) => reject(startError(path, error, opts.installHint)));
    child.once("close", (exitCode, endSignal) => resolve([exitCode, endSignal]));
  });
  // It is awaited below, but a start error comes before that.
  ended.catch(() => {});

  let killTimer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    if (killTimer !== undefined) return;
    killGroup(child.pid, "SIGTERM");
    const kill = (): void => killGroup(child.pid, "SIGKILL");
    killTimer = setTimeout(kill, opts.graceMs ?? KILL_GRACE_MS);
  };
  signal?.addEventListener("abort", stop, { once: true });
  let isComplete = false;
  try {
    for await (const chunk of child.stdout) yield chunk as Buffer;
    const [exitCode, endSignal] = await ended;
    isComplete = true;
    if (signal?.aborted) throw abortReason(signal, path);
    if (exitCode !== 0) {
      throw opts.failed({ exitCode, signal: endSignal, stdout: "", stderr: stderr.toString() });
    }
  } finally {
    if (!isComplete) {
      stop();
      // Unread output would keep it from ending.
      child.stdout.resume();
      await ended.catch(() => {});
    }
    // Its children may take longer to end than itself, also when the signal has ended it.
    if (killTimer !== undefined) {
      await groupEnds(child.pid, (opts.graceMs ?? KILL_GRACE_MS) + GROUP_KILL_MS);
    }
    clearTimeout(killTimer);
    signal?.removeEventListener("abort", stop);
  }
}

/**
 * Waits until no process of the group is left, at most `limitMs`. Children of a child tell nobody when they end, so
 * they are asked for again and again.
 */
async function groupEnds(pid: number | undefined, limitMs: number): Promise<void> {
  if (pid === undefined) return;
  const until = performance.now() + limitMs;
  while (isGroupAlive(pid) && performance.now() < until) await delay(GROUP_LOOK_MS);
}

function isGroupAlive(pid: number): boolean {
  try {
    process.kill(-pid, 0);
    return true;
  } catch {
    return false;
  }
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // All of it has ended.
  }
}

export interface BackgroundProcess {
  readonly pid: number;
  /** The first message it sends to its parent; undefined when it ends without one. */
  readonly firstMessage: Promise<unknown>;
  /** Resolves when it has ended. */
  readonly exited: Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** This process may end without it, and it without this one. */
  letGo(): void;
}

/**
 * Starts a program in a session of its own, without a terminal, in the folder `/`. It reads nothing, what it writes to
 * standard error is added to the file `stderrPath`, and it has a channel to tell this process (`process.send` in
 * Node.js), which it finds closed when this process ends. Throws MSB_ERR_TOOL_MISSING.
 */
export async function startInBackground(
  path: string,
  args: readonly string[],
  opts: { readonly env: NodeJS.ProcessEnv; readonly stderrPath: string },
): Promise<BackgroundProcess> {
  const stderr = await open(opts.stderrPath, "a", 0o600);
  try {
    const child = spawn(path, args, {
      cwd: "/",
      env: opts.env,
      detached: true,
      stdio: ["ignore", "ignore", stderr.fd, "ipc"],
    });
    const exited = once(child, "exit").then(() => {});
    exited.catch(() => {});
    const firstMessage = new Promise<unknown>((resolve) => {
      child.once("message", resolve);
      // Messages that came before are heard before.
      child.once("disconnect", () => resolve(undefined));
    });
    await once(child, "spawn").catch((error: Error) => {
      throw startError(path, error);
    });
    return {
      pid: child.pid!,
      firstMessage,
      exited,
      kill: (signal) => void child.kill(signal),
      letGo: () => {
        if (child.connected) child.disconnect();
        child.unref();
      },
    };
  } finally {
    await stderr.close();
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
