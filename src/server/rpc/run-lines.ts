/** The events of a run as the lines of the old wire contract. */
import { MsbError } from "../../errors.js";
import type { RunEvent } from "../../kernel/run-types.js";
import type { OutputLine } from "../../sandbox/service.js";
import { OutputLines } from "../../util/output-lines.js";

export interface RunLines {
  readonly status: "success" | "error";
  readonly output: readonly OutputLine[];
}

/**
 * Values are echoed on stdout, as the interactive interpreter would. Throws MSB_ERR_OUTPUT_LIMIT, and what `events`
 * throws.
 */
export async function collectRunLines(
  events: AsyncIterable<RunEvent>,
  opts: { readonly timeoutSeconds: number | null; readonly maxOutputBytes: number },
): Promise<RunLines> {
  const lines = new OutputLines();
  let status: RunLines["status"] = "success";
  let bytes = 0;
  const push = (stream: OutputLine["stream"], text: string): void => {
    bytes += Buffer.byteLength(text);
    if (bytes > opts.maxOutputBytes) throw tooMuch(opts.maxOutputBytes);
    lines.push(stream, text);
  };
  let timedOut = false;
  for await (const event of events) {
    if (event.type === "stdout" || event.type === "stderr") push(event.type, event.text);
    else if (event.type === "result") pushValue(event.result.text);
    else if (event.type === "end") {
      status = event.status;
      timedOut = event.reason === "timeout";
    }
  }
  return { status, output: timedOut ? [...lines.finish(), timeoutLine(opts)] : lines.finish() };

  function pushValue(text: string | undefined): void {
    if (text !== undefined) push("stdout", `${text}\n`);
  }
}

/** What a run gives that had no time at all. */
export function timedOutAtOnce(timeoutSeconds: number): RunLines {
  return { status: "error", output: [timeoutLine({ timeoutSeconds })] };
}

function timeoutLine({ timeoutSeconds }: { timeoutSeconds: number | null }): OutputLine {
  const text = `Error: Execution timed out after ${timeoutSeconds ?? 0} seconds`;
  return { stream: "stderr", text };
}

function tooMuch(limit: number): MsbError {
  return new MsbError(
    "MSB_ERR_OUTPUT_LIMIT",
    `The code wrote more than ${limit} bytes and was stopped. Write less, or write to a file.`,
    { details: { maxOutputBytes: limit } },
  );
}
