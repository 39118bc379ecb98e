/** How results leave a command: one JSON document for programs, tables and lines for people. */
import Table from "cli-table3";
import type { CliContext, OutputStream } from "./context.js";

const NO_BORDERS = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: "",
};
const COLUMN_GAP = 3;

/** One line of result. */
export function printLine(ctx: CliContext, text: string): void {
  ctx.stdout.write(`${text}\n`);
}

export function printJson(ctx: CliContext, value: unknown): void {
  ctx.stdout.write(`${toJson(value, 2)}\n`);
}

/**
 * JSON that is safe to print: JSON.stringify leaves the control characters from U+007F to U+009F as they
 * are, and some terminals obey them.
 */
export function toJson(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, undefined, indent);
  return text.replaceAll(
    /[\u007f-\u009f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Cells must be safe to print and of one line. */
export function printTable(
  ctx: CliContext,
  head: readonly string[] | null,
  rows: readonly (readonly string[])[],
  indent = "",
): void {
  for (const line of tableLines(head, rows)) printLine(ctx, `${indent}${line}`.trimEnd());
}

/** The lines of such a table, without spaces at their ends. */
export function tableLines(
  head: readonly string[] | null,
  rows: readonly (readonly string[])[],
): string[] {
  const table = new Table({
    ...(head === null ? {} : { head: [...head] }),
    chars: NO_BORDERS,
    style: { "padding-left": 0, "padding-right": COLUMN_GAP, head: [], border: [], compact: true },
  });
  table.push(...rows.map((row) => [...row]));
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd());
}

/** Waits until what was written has left this process, or cannot. */
export async function flushed(stream: OutputStream): Promise<void> {
  await new Promise<void>((resolve) => {
    stream.write("", () => resolve());
  });
  // A failed write is announced after its callback.
  await new Promise((resolve) => setImmediate(resolve));
}
