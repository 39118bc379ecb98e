/** `MSB_HOME/server.json`: which process serves this MSB_HOME, as that process wrote it down. It may lie. */
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { MsbPaths } from "../../paths.js";
import { writeFileAtomic } from "../../util/atomic-file.js";
import { isRunning } from "../../native/process-identity.js";
import { readSmallFile } from "../../util/small-file.js";

const MAX_FILE_BYTES = 64 * 1024;

const Nullable = Type.Union([Type.String(), Type.Null()]);

const ServerProcessSchema = Type.Object({
  pid: Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 }),
  /** See native/process-identity.ts. */
  startTime: Type.String(),
  /** `127.0.0.1:5555`, what it listens on; null until it does. */
  address: Nullable,
  /** Where clients of this machine reach it; null until they do. */
  url: Nullable,
  isDev: Type.Boolean(),
  /** ISO 8601. */
  startedAt: Type.String(),
  version: Type.String(),
  /** null: it logs to its standard error. */
  logFile: Nullable,
  /** null: the one in MSB_HOME. */
  keyFile: Nullable,
});

export type ServerProcess = Readonly<Static<typeof ServerProcessSchema>>;

export async function writeServerFile(paths: MsbPaths, process: ServerProcess): Promise<void> {
  const text = `${JSON.stringify(process, undefined, 2)}\n`;
  await writeFileAtomic(paths.serverFile, text, { mode: 0o600 });
}

/** undefined when it names no process that runs: nothing there, garbage, a process that is gone or another one. */
export async function readServerFile(paths: MsbPaths): Promise<ServerProcess | undefined> {
  const file = await readSmallFile(paths.serverFile, MAX_FILE_BYTES).catch(() => undefined);
  const process = file === undefined ? undefined : parse(file.bytes);
  if (process === undefined) return undefined;
  return isRunning(process) ? process : undefined;
}

function parse(bytes: Buffer): ServerProcess | undefined {
  try {
    const json: unknown = JSON.parse(bytes.toString());
    return Value.Check(ServerProcessSchema, json) ? json : undefined;
  } catch {
    return undefined;
  }
}
