/** Output that arrives in pieces, as lines: what the old wire contract calls `output`. */
import { StringDecoder } from "node:string_decoder";
import { MsbError } from "../errors.js";

export interface TextLine {
  readonly stream: "stdout" | "stderr";
  /** Without its end. */
  readonly text: string;
}

/** A line takes many times its one byte: without this limit a guest that writes line feeds alone would fill memory. */
export const MAX_OUTPUT_LINES = 1_000_000;

/**
 * Lines end with a line feed; one carriage return before it is dropped. They are in the order in which they were
 * complete, so two streams never mix in one line; unfinished last lines come at the end. Bytes that are not UTF-8
 * become U+FFFD.
 */
export class OutputLines {
  readonly #lines: TextLine[] = [];
  readonly #unfinished = { stdout: new UnfinishedLine(), stderr: new UnfinishedLine() };
  /** By the age of their unfinished lines. */
  #order: TextLine["stream"][] = [];

  /** Throws MSB_ERR_OUTPUT_LIMIT. */
  push(stream: TextLine["stream"], piece: Uint8Array | string): void {
    const line = this.#unfinished[stream];
    const complete = line.push(piece);
    if (this.#lines.length + complete.length > MAX_OUTPUT_LINES) throw tooManyLines();
    for (const text of complete) this.#lines.push({ stream, text });
    // What is left of it began now.
    if (complete.length > 0) this.#order = this.#order.filter((one) => one !== stream);
    if (line.isBegun && !this.#order.includes(stream)) this.#order.push(stream);
  }

  /** All lines; nothing can be pushed after it. */
  finish(): readonly TextLine[] {
    // A character that was cut off may be all that there is of one.
    for (const stream of new Set([...this.#order, "stdout", "stderr"] as const)) {
      const text = this.#unfinished[stream].end();
      if (text !== null) this.#lines.push({ stream, text });
    }
    return this.#lines;
  }
}

class UnfinishedLine {
  readonly #decoder = new StringDecoder("utf8");
  /** Joined only at a line's end: a line may come in very many pieces. */
  #pieces: string[] = [];

  push(piece: Uint8Array | string): string[] {
    const text = typeof piece === "string" ? piece : this.#decoder.write(Buffer.from(piece));
    const parts = text.split("\n");
    const last = parts.pop() ?? "";
    const lines = parts.map((part) => this.#ended(part));
    if (last !== "") this.#pieces.push(last);
    return lines.map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
  }

  get isBegun(): boolean {
    return this.#pieces.length > 0;
  }

  /** Null when the last line was ended by a line feed. */
  end(): string | null {
    const rest = this.#decoder.end();
    if (rest !== "") this.#pieces.push(rest);
    return this.#pieces.length === 0 ? null : this.#ended("");
  }

  #ended(part: string): string {
    const line = this.#pieces.join("") + part;
    this.#pieces = [];
    return line;
  }
}

function tooManyLines(): MsbError {
  return new MsbError(
    "MSB_ERR_OUTPUT_LIMIT",
    `The output has more than ${MAX_OUTPUT_LINES} lines. Write less, or write to a file in the sandbox.`,
    { details: { maxLines: MAX_OUTPUT_LINES } },
  );
}
