/** Output as lines, for callers that know nothing finer. */
import type { OutputLine } from "../sandbox/service.js";

type Stream = OutputLine["stream"];

/**
 * Makes lines of text that comes in pieces: split at line feeds, a carriage return before one dropped, the last line
 * kept when nothing ends it. Lines are in the order in which they were completed.
 */
export class OutputLines {
  readonly #lines: OutputLine[] = [];
  readonly #open: Record<Stream, string> = { stdout: "", stderr: "" };

  push(stream: Stream, text: string): void {
    const [first = "", ...rest] = text.split("\n");
    let open = this.#open[stream] + first;
    for (const piece of rest) {
      this.#lines.push({ stream, text: open.replace(/\r$/, "") });
      open = piece;
    }
    this.#open[stream] = open;
  }

  /** All lines; what is still open counts as ended. */
  end(): readonly OutputLine[] {
    for (const stream of ["stdout", "stderr"] as const) {
      if (this.#open[stream] !== "") this.push(stream, "\n");
    }
    return this.#lines;
  }
}
