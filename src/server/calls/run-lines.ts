/** The events of a run as the lines of the old wire contract. */
import { MsbError } from "../../errors.js";
import type { RichResult, RunEvent } from "../../kernel/run-types.js";
import type { OutputLine } from "../../sandbox/service.js";
import { OutputLines } from "../../util/output-lines.js";
import { endNotes, timeoutNote, valueEcho } from "../../util/run-notes.js";

export interface RunLines {
  readonly status: "success" | "error";
  readonly output: readonly OutputLine[];
}

export interface CollectOpts {
  /** What the run was allowed, for the line that says it was too long. */
  readonly timeoutSeconds: number | null;
  readonly maxOutputBytes: number;
  /** Told of each value and of all that was displayed, for callers that know more than lines; gives the bytes it keeps. */
  readonly onResult?: (result: RichResult) => number;
}

type RunEnd = Extract<RunEvent, { type: "end" }>;

/**
 * Values are echoed on stdout, as the interactive interpreter would. Throws MSB_ERR_OUTPUT_LIMIT, and what `events`
 * throws.
 */
export async function collectRunLines(
  events: AsyncIterable<RunEvent>,
  opts: CollectOpts,
): Promise<RunLines> {
  const lines = new OutputLines();
  let bytes = 0;
  const count = (more: number): void => {
    bytes += more;
    if (bytes > opts.maxOutputBytes) throw tooMuch(opts.maxOutputBytes);
  };
  const push = (stream: OutputLine["stream"], text: string): void => {
    count(Buffer.byteLength(text));
    lines.push(stream, text);
  };
  let end: RunEnd | undefined;
  for await (const event of events) {
    if (event.type === "stdout" || event.type === "stderr") push(event.type, event.text);
    else if (event.type === "end") end = event;
    else if (event.type === "result") {
      const { result } = event;
      count(opts.onResult?.(result) ?? 0);
      const text = valueEcho(result);
      if (text !== undefined) push("stdout", `${text}\n`);
    }
  }
  const notes = end === undefined ? [] : endNotes(end, opts.timeoutSeconds);
  return { status: end?.status ?? "error", output: [...lines.finish(), ...notes.map(onStderr)] };
}

/** What a run gives that had no time at all. */
export function timedOutAtOnce(timeoutSeconds: number): RunLines {
  return { status: "error", output: [onStderr(timeoutNote(timeoutSeconds))] };
}

function onStderr(text: string): OutputLine {
  return { stream: "stderr", text };
}

function tooMuch(limit: number): MsbError {
  return new MsbError(
    "MSB_ERR_OUTPUT_LIMIT",
    `The code wrote more than ${limit} bytes and was stopped. Write less, or write to a file.`,
    { details: { maxOutputBytes: limit } },
  );
}
