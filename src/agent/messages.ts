/** Wire types of PROTOCOL.md and the checks for messages from the guest. Twin of native/agent/messages.h. */
import { printable } from "../util/printable.js";
import { protocolError } from "./frame.js";

export const PROTOCOL_GENERATION = 3;
/** Bytes a sender may be ahead of its receiver on one stream and direction. */
export const STREAM_WINDOW_BYTES = 262_144;
export const MAX_PENDING_REQUESTS = 256;

/** Resource names of `ulimit` that the agent knows, e.g. `nofile`, with soft and hard limit. */
export interface ResourceLimit {
  readonly resource: string;
  readonly soft: number;
  readonly hard: number;
}

export interface PtySize {
  readonly cols: number;
  readonly rows: number;
}

/** What the host asks; `T` is the message type, the value its fields. */
export interface HostRequests {
  hello: { generation: number; session: string; nonce: string };
  "core.setup": {
    image: string;
    upper: string | null;
    hostname: string;
    clockMs: number;
    entropy: string;
  };
  "core.resume": { nonce: string; hostname: string; clockMs: number; entropy: string };
  "core.ping": { data: string };
  "core.time": { clockMs: number };
  "core.metrics": Record<never, never>;
  "core.shutdown": { graceMs?: number };
  "exec.start": {
    argv: readonly string[];
    env?: readonly string[];
    cwd?: string;
    user?: string;
    pty?: PtySize;
    stdin?: boolean;
    control?: boolean;
    timeoutMs?: number;
    rlimits?: readonly ResourceLimit[];
  };
  "exec.signal": { signal: number; scope?: "process" | "tree" };
  "exec.resize": PtySize;
  "exec.attach": { outputOffset?: number };
  "exec.close": Record<never, never>;
  "file.read": { path: string; offset?: number; length?: number };
  "file.write": { path: string; mode?: number; uid?: number; gid?: number };
  "file.list": { path: string };
  "file.stat": { path: string; follow?: boolean };
  "file.mkdir": { path: string; mode?: number; recursive?: boolean };
  "file.remove": { path: string; recursive?: boolean };
  "file.rename": { from: string; to: string };
}
export type HostRequestType = keyof HostRequests;

/** The error of a reply or of a `stream.error` event. `errno` is a Linux number. */
export interface GuestError {
  readonly code: string;
  readonly message: string;
  readonly operation?: string;
  readonly errno?: number;
  /** With code `generation`: the guest's. */
  readonly generation?: number;
}

/** A control message from the guest, checked. */
export type GuestMessage =
  | { readonly kind: "ok"; readonly id: number; readonly fields: Fields }
  | { readonly kind: "error"; readonly id: number; readonly error: GuestError }
  | { readonly kind: "exec.exited"; readonly exit: ExecExit }
  | { readonly kind: "exec.controlClosed" }
  | { readonly kind: "stream.error"; readonly error: GuestError }
  | { readonly kind: "other"; readonly type: string };

/** How a process of the guest ended. */
export interface ExecExit {
  /** The exit status, or null when a signal ended it. */
  readonly exitCode: number | null;
  /** The number of the signal that ended it, or null. */
  readonly signal: number | null;
  readonly timedOut: boolean;
  readonly oomKilled: boolean;
}

export interface ExecInfo {
  readonly stream: number;
  readonly pid: number;
  readonly running: boolean;
  /** Output bytes from `outputOffset` to `outputEnd` are kept by the guest. */
  readonly outputOffset: number;
  readonly outputEnd: number;
  readonly stdinOffset: number;
}

export interface HelloReply {
  readonly agentVersion: string;
  readonly state: "new" | "ready";
  readonly uptimeMs: number;
  readonly nextStream: number;
  readonly execs: readonly ExecInfo[];
}

export interface SetupTiming {
  readonly step: string;
  /** Milliseconds since the agent started. */
  readonly ms: number;
}

export interface GuestMetrics {
  readonly uptimeMs: number;
  readonly cpu: { readonly count: number; readonly busyUsec: number; readonly idleUsec: number };
  readonly memory: {
    readonly totalBytes: number;
    readonly availableBytes: number;
    readonly usedBytes: number;
  };
  readonly disk: {
    readonly totalBytes: number;
    readonly usedBytes: number;
    readonly availableBytes: number;
  };
  readonly processes: number;
  readonly load1: number;
}

export const FILE_KINDS = [
  "file",
  "directory",
  "symlink",
  "fifo",
  "socket",
  "block",
  "character",
] as const;
export type FileKind = (typeof FILE_KINDS)[number];

export interface FileInfo {
  readonly kind: FileKind;
  readonly sizeBytes: number;
  /** Permission bits, e.g. 0o644. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeMs: number;
  readonly links: number;
  /** Of a symlink. */
  readonly target?: string;
}

/** An object of a guest message whose members are read with a check each. */
export class Fields {
  constructor(readonly raw: Readonly<Record<string, unknown>>) {}

  int(key: string, opts: { min?: number; max?: number } = {}): number {
    const value = this.raw[key];
    const { min = 0, max = Number.MAX_SAFE_INTEGER } = opts;
    if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max) {
      throw protocolError(`field ${key}`);
    }
    return value as number;
  }

  number(key: string): number {
    const value = this.raw[key];
    if (typeof value !== "number" || !Number.isFinite(value)) throw protocolError(`field ${key}`);
    return value;
  }

  string(key: string): string {
    const value = this.raw[key];
    if (typeof value !== "string") throw protocolError(`field ${key}`);
    return value;
  }

  boolean(key: string, fallback?: boolean): boolean {
    const value = this.raw[key] ?? fallback;
    if (typeof value !== "boolean") throw protocolError(`field ${key}`);
    return value;
  }

  object(key: string): Fields {
    return asFields(this.raw[key], key);
  }

  list(key: string): Fields[] {
    const value = this.raw[key];
    if (!Array.isArray(value)) throw protocolError(`field ${key}`);
    return value.map((item) => asFields(item, key));
  }

  has(key: string): boolean {
    return this.raw[key] !== undefined;
  }
}

function asFields(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw protocolError(`field ${what}`);
  }
  return new Fields(value as Record<string, unknown>);
}

/** Reads a JSON object from hostile bytes. */
export function parseFields(payload: Buffer, what: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString("utf8"));
  } catch {
    throw protocolError(`${what} is not JSON`);
  }
  return asFields(value, what);
}

/** Reads and checks one control payload from the guest. */
export function parseGuestMessage(payload: Buffer): GuestMessage {
  const fields = parseFields(payload, "message");
  const type = fields.string("type");
  switch (type) {
    case "ok":
      return { kind: "ok", id: fields.int("id", { min: 1 }), fields };
    case "error":
      return { kind: "error", id: fields.int("id", { min: 1 }), error: readError(fields) };
    case "exec.exited":
      return { kind: "exec.exited", exit: readExit(fields) };
    case "exec.controlClosed":
      return { kind: "exec.controlClosed" };
    case "stream.error":
      return { kind: "stream.error", error: readError(fields) };
    default:
      return { kind: "other", type: type.slice(0, 64) };
  }
}

function readError(fields: Fields): GuestError {
  return {
    code: printable(fields.string("code").slice(0, 64)),
    message: printable(fields.string("message").slice(0, 1024)),
    ...(fields.has("operation") ? { operation: fields.string("operation").slice(0, 64) } : {}),
    ...(fields.has("errno") ? { errno: fields.int("errno", { max: 4095 }) } : {}),
    ...(fields.has("generation") ? { generation: fields.int("generation") } : {}),
  };
}

function readExit(fields: Fields): ExecExit {
  const signalled = fields.has("signal");
  return {
    exitCode: signalled ? null : fields.int("exitCode", { max: 255 }),
    signal: signalled ? fields.int("signal", { min: 1, max: 127 }) : null,
    timedOut: fields.boolean("timedOut", false),
    oomKilled: fields.boolean("oomKilled", false),
  };
}

export function readHelloReply(fields: Fields): HelloReply {
  const state = fields.string("state");
  if (state !== "new" && state !== "ready") throw protocolError("field state");
  return {
    agentVersion: fields.string("agentVersion").slice(0, 64),
    state,
    uptimeMs: fields.number("uptimeMs"),
    nextStream: fields.int("nextStream", { min: 1, max: 0x7fff_ffff }),
    execs: fields.list("execs").map((exec) => ({
      stream: exec.int("stream", { min: 1, max: 0x7fff_ffff }),
      pid: exec.int("pid", { max: 0x7fff_ffff }),
      running: exec.boolean("running"),
      outputOffset: exec.int("outputOffset"),
      outputEnd: exec.int("outputEnd"),
      stdinOffset: exec.int("stdinOffset"),
    })),
  };
}

export function readSetupTimings(fields: Fields): SetupTiming[] {
  return fields
    .list("timings")
    .slice(0, 64)
    .map((timing) => ({ step: timing.string("step").slice(0, 64), ms: timing.number("ms") }));
}

export function readMetrics(fields: Fields): GuestMetrics {
  const cpu = fields.object("cpu");
  const memory = fields.object("memory");
  const disk = fields.object("disk");
  return {
    uptimeMs: Math.max(0, fields.number("uptimeMs")),
    cpu: { count: cpu.int("count"), busyUsec: cpu.int("busyUsec"), idleUsec: cpu.int("idleUsec") },
    memory: {
      totalBytes: memory.int("totalBytes"),
      availableBytes: memory.int("availableBytes"),
      usedBytes: memory.int("usedBytes"),
    },
    disk: {
      totalBytes: disk.int("totalBytes"),
      usedBytes: disk.int("usedBytes"),
      availableBytes: disk.int("availableBytes"),
    },
    processes: fields.int("processes"),
    load1: Math.max(0, fields.number("load1")),
  };
}

export function readFileInfo(fields: Fields): FileInfo {
  const kind = FILE_KINDS.find((known) => known === fields.string("kind"));
  if (kind === undefined) throw protocolError("field kind");
  return {
    kind,
    sizeBytes: fields.int("size"),
    mode: fields.int("mode", { max: 0o7777 }),
    uid: fields.int("uid"),
    gid: fields.int("gid"),
    mtimeMs: fields.number("mtimeMs"),
    links: fields.int("links"),
    ...(fields.has("target") ? { target: fields.string("target") } : {}),
  };
}
