/** The messages of PROTOCOL.md: what the host writes, and checks for what a kernel says. */
import { MsbError } from "../errors.js";
import { printable } from "../util/printable.js";
import { limitResult } from "./rich-results.js";
import type { RichResult, RunError } from "./run-types.js";

const MAX_HOST_LINE_BYTES = 8 * 1024 * 1024;
const MAX_NAME_CHARACTERS = 256;
const MAX_VALUE_CHARACTERS = 64 * 1024;
const MAX_TRACEBACK_LINES = 1000;
const MAX_TRACEBACK_LINE_CHARACTERS = 8192;
const END_REASONS = ["completed", "exception", "interrupted", "exited"] as const;

export type KernelEndReason = (typeof END_REASONS)[number];

export type KernelMessage =
  | { readonly type: "ready"; readonly version: string }
  | {
      readonly type: "result";
      readonly id: string;
      readonly result: RichResult;
      readonly sizeBytes: number;
    }
  | { readonly type: "error"; readonly id: string; readonly error: RunError }
  | { readonly type: "end"; readonly id: string; readonly reason: KernelEndReason }
  | { readonly type: "mark"; readonly number: number }
  | { readonly type: "synced"; readonly nonce: string; readonly running: string | null };

export type HostMessage =
  | { readonly type: "run"; readonly id: string; readonly code: string }
  | { readonly type: "sync"; readonly nonce: string; readonly reseed?: true }
  | { readonly type: "marked"; readonly number: number };

/** A message as bytes. Begins with a line feed: an earlier writer may have been cut off within a line. */
export function encodeHostMessage(message: HostMessage): Buffer {
  const line = Buffer.from(`\n${JSON.stringify(message)}\n`);
  if (line.length - 2 > MAX_HOST_LINE_BYTES) {
    throw new MsbError(
      "MSB_ERR_INVALID_ARGUMENT",
      `The code takes ${line.length} bytes as a message; at most ${MAX_HOST_LINE_BYTES} are allowed. ` +
        "Write it to a file in the sandbox and run that.",
      { details: { bytes: line.length, maxBytes: MAX_HOST_LINE_BYTES } },
    );
  }
  return line;
}

/** The message in a line, or undefined when it holds none. */
export function parseKernelMessage(line: Buffer): KernelMessage | undefined {
  const raw = parseObject(line);
  if (raw === undefined) return undefined;
  switch (raw["type"]) {
    case "ready":
      return { type: "ready", version: text(raw["version"], 64) };
    case "result": {
      const result = asObject(raw["result"]);
      const id = asId(raw["id"]);
      return result && id ? { type: "result", id, ...limitResult(result) } : undefined;
    }
    case "error": {
      const error = asObject(raw["error"]);
      const id = asId(raw["id"]);
      return error && id ? { type: "error", id, error: readError(error) } : undefined;
    }
    case "end": {
      const id = asId(raw["id"]);
      const reason = END_REASONS.find((known) => known === raw["reason"]);
      return id && reason ? { type: "end", id, reason } : undefined;
    }
    case "mark": {
      const number = raw["number"];
      return Number.isSafeInteger(number) ? { type: "mark", number: number as number } : undefined;
    }
    case "synced": {
      const nonce = asId(raw["nonce"]);
      return nonce ? { type: "synced", nonce, running: asId(raw["running"]) ?? null } : undefined;
    }
    default:
      return undefined;
  }
}

function parseObject(line: Buffer): Record<string, unknown> | undefined {
  try {
    return asObject(JSON.parse(line.toString("utf8")));
  } catch {
    return undefined;
  }
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as Record<string, unknown>) : undefined;
}

function asId(value: unknown): string | undefined {
  return typeof value === "string" && /^[0-9a-f]{1,64}$/.test(value) ? value : undefined;
}

function text(value: unknown, maxCharacters: number): string {
  return typeof value === "string" ? printable(value.slice(0, maxCharacters)) : "";
}

function readError(raw: Record<string, unknown>): RunError {
  const traceback = Array.isArray(raw["traceback"]) ? (raw["traceback"] as unknown[]) : [];
  return {
    name: text(raw["name"], MAX_NAME_CHARACTERS) || "Error",
    value: text(raw["value"], MAX_VALUE_CHARACTERS),
    traceback: traceback
      .slice(0, MAX_TRACEBACK_LINES)
      .map((line) => text(line, MAX_TRACEBACK_LINE_CHARACTERS)),
  };
}
