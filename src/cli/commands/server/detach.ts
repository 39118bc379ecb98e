/** `--detach`: the same command in a process of its own, until it serves or has failed. */
import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import type { Env } from "../../../config.js";
import { type ErrorCode, ERROR_CODES, isMsbError, messageOf, MsbError } from "../../../errors.js";
import type { MsbPaths } from "../../../paths.js";
import type { ServerProcess } from "../../../server/process/server-process.js";
import { abortable, settlesWithin } from "../../../util/async.js";
import { fileError } from "../../../util/file-error.js";
import { type BackgroundProcess, startInBackground } from "../../../util/process.js";
import type { CliContext } from "../../context.js";

/** A start that takes longer is announced. */
const QUIET_START_MS = 3_000;
/** A start that is given up has this long to undo what it did. */
const UNDO_MS = 15_000;
const HEALTH_MS = 5_000;
const SHOWN_LOG_LINES = 20;

/** What a server needs of the environment; everything else stays here. */
const KEPT_VARIABLES =
  /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_.*|TZ|TMPDIR|XDG_.*|MSB_.*|DOCKER_CONFIG|LD_LIBRARY_PATH|NODE_EXTRA_CA_CERTS|SSL_CERT_.*|npm_config_.*|(https?|no|all)_proxy|(HTTPS?|NO|ALL)_PROXY)$/;
/** Keys of clients, which a server has no use for. */
const DROPPED_VARIABLES = new Set(["MSB_API_KEY"]);
/** Relative file names in them would mean another file there. */
const FILE_VARIABLES = /^MSB_(HOME|KEY_FILE|.*_PATH)$/;

type Message =
  | { readonly type: "ready"; readonly process: ServerProcess }
  | {
      readonly type: "failed";
      readonly error: { code: string; message: string; details: Record<string, unknown> };
    };

export const readyMessage = (process: ServerProcess): Message => ({ type: "ready", process });

export function failedMessage(error: unknown): Message {
  const { code, message, details } = isMsbError(error)
    ? error
    : new MsbError("MSB_ERR_INTERNAL", messageOf(error), { cause: error });
  return { type: "failed", error: { code, message, details } };
}

/**
 * Answers when the server answers. When it does not get there, nothing of it is left. Throws what it failed with, and
 * MSB_ERR_SERVER_FAILED with its last words when it gave no reason.
 */
export async function startDetached(
  ctx: CliContext,
  paths: MsbPaths,
  words: readonly string[],
): Promise<ServerProcess> {
  const { requireNoServer } = await import("../../../server/process/server-lock.js");
  await requireNoServer(paths);
  await mkdir(paths.home, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw fileError(error, paths.home, "made");
  });
  const [program, ...before] = ctx.service.command;
  const child = await startInBackground(
    program,
    [...before, "server", "start", "--as-daemon", ...words.filter((word) => word !== "--detach")],
    { env: { ...serverEnv(ctx.env), MSB_HOME: paths.home }, stderrPath: paths.serverLog(0) },
  );
  try {
    const server = await firstWord(ctx, paths, child);
    await requireHealth(server);
    child.letGo();
    return server;
  } catch (error) {
    await giveUp(child);
    throw error;
  }
}

async function firstWord(
  ctx: CliContext,
  paths: MsbPaths,
  child: BackgroundProcess,
): Promise<ServerProcess> {
  const announced = setTimeout(() => {
    ctx.stderr.write(`The server is still starting; its log is ${paths.serverLog(0)}\n`);
  }, QUIET_START_MS);
  try {
    const message = await abortable(child.firstMessage, ctx.signal, "The start of the server");
    if (isMessage(message, "ready")) return message.process;
    throw isMessage(message, "failed") ? errorOf(message) : await silentDeath(paths, child);
  } finally {
    clearTimeout(announced);
  }
}

function isMessage<T extends Message["type"]>(
  message: unknown,
  type: T,
): message is Extract<Message, { type: T }> {
  return (
    typeof message === "object" && message !== null && "type" in message && message.type === type
  );
}

function errorOf({ error }: Extract<Message, { type: "failed" }>): MsbError {
  const code = error.code in ERROR_CODES ? (error.code as ErrorCode) : "MSB_ERR_SERVER_FAILED";
  return new MsbError(code, error.message, { details: error.details });
}

async function silentDeath(paths: MsbPaths, child: BackgroundProcess): Promise<MsbError> {
  const { readLog } = await import("../../../server/process/log-files.js");
  const { readableLine } = await import("../../../server/process/log-line.js");
  const { signal } = new AbortController();
  const lines: string[] = [];
  for await (const line of readLog({ path: paths.serverLog, lines: SHOWN_LOG_LINES, signal })) {
    lines.push(readableLine(line));
  }
  return new MsbError(
    "MSB_ERR_SERVER_FAILED",
    `The server (process ${child.pid}) ended before it served. Its log ${paths.serverLog(0)} ends with:\n` +
      lines.join("\n"),
    { details: { pid: child.pid, logFile: paths.serverLog(0) } },
  );
}

async function requireHealth({ url, pid, logFile }: ServerProcess): Promise<void> {
  try {
    const signal = AbortSignal.timeout(HEALTH_MS);
    const answer = await fetch(`${url}/api/v1/health`, { signal });
    if (answer.ok) return;
    throw new Error(`it answered ${answer.status}`);
  } catch (cause) {
    throw new MsbError(
      "MSB_ERR_SERVER_FAILED",
      `The server at ${url} does not answer (${messageOf(cause)}) and was ended. Its log is ${logFile}.`,
      { cause, details: { pid, url, logFile } },
    );
  }
}

/** Asks, waits, and does not ask any more. */
async function giveUp(child: BackgroundProcess): Promise<void> {
  child.kill("SIGTERM");
  if (!(await settlesWithin(child.exited, UNDO_MS))) {
    child.kill("SIGKILL");
    await child.exited;
  }
}

function serverEnv(env: Env): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(
    ([name]) => KEPT_VARIABLES.test(name) && !DROPPED_VARIABLES.has(name),
  );
  return Object.fromEntries(
    kept.map(([name, value]) => [
      name,
      FILE_VARIABLES.test(name) && value ? resolve(value) : value,
    ]),
  );
}
