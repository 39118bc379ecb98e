/** A line of the log, which is JSON, as people read it. */
import { printable } from "../../util/printable.js";

const MAX_VALUE_LENGTH = 300;
/** What is shown elsewhere in the line, or says nothing new. */
const HIDDEN = new Set(["level", "time", "msg", "pid", "hostname", "v", "err", "req", "res"]);

interface LoggedError {
  readonly message?: unknown;
  readonly code?: unknown;
  readonly stack?: unknown;
}

/** `12:30:01.123 INFO  message key=value`, with the stack of an error that nobody foresaw on lines of its own. */
export function readableLine(json: string): string {
  const entry = parse(json);
  if (entry === undefined) return printable(json);
  const { level, time, msg } = entry;
  const error = isObject(entry["err"]) ? (entry["err"] as LoggedError) : undefined;
  const words = [
    clock(time),
    String(level).toUpperCase().padEnd(5),
    ...(msg === undefined || msg === "" ? [] : [String(msg)]),
    ...requestWords(entry["req"], entry["res"]),
    ...Object.entries(entry)
      .filter(([key]) => !HIDDEN.has(key))
      .map(([key, value]) => `${key}=${shortValue(value)}`),
    ...(error === undefined ? [] : [errorText(error, msg)]),
  ];
  return printable(words.filter((word) => word !== "").join(" ") + stackOf(error));
}

function parse(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return isObject(value) && "level" in value ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** In the time zone of who reads. */
function clock(time: unknown): string {
  const date = new Date(String(time));
  if (Number.isNaN(date.getTime())) return "-";
  const two = (part: number): string => String(part).padStart(2, "0");
  const seconds = `${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
  return `${two(date.getHours())}:${two(date.getMinutes())}:${seconds}`;
}

function requestWords(request: unknown, response: unknown): string[] {
  const words: string[] = [];
  if (isObject(request)) words.push(`${String(request["method"])} ${String(request["url"])}`);
  if (isObject(response)) words.push(`-> ${String(response["statusCode"])}`);
  return words;
}

function shortValue(value: unknown): string {
  const isPlain = typeof value === "string" && /^[^\s"=]+$/.test(value);
  const text = isPlain ? value : JSON.stringify(value);
  return text.length > MAX_VALUE_LENGTH ? `${text.slice(0, MAX_VALUE_LENGTH - 1)}…` : text;
}

function errorText({ message, code }: LoggedError, said: unknown): string {
  const name = code === undefined ? "" : `(${String(code)})`;
  return message === said ? name : `${String(message)} ${name}`.trimEnd();
}

/** Errors of ours say all that there is to know. */
function stackOf(error: LoggedError | undefined): string {
  if (typeof error?.stack !== "string" || String(error.code).startsWith("MSB_")) return "";
  const frames = error.stack.split("\n").filter((line) => /^\s+at /.test(line));
  return frames.map((frame) => `\n    ${frame.trim()}`).join("");
}
