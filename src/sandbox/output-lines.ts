/** The lines that a program wrote to two streams, in the order in which they came. */
import { TextDecoder } from "node:util";
import type { OutputChunk } from "../agent/stream-flow.js";
import { Channel } from "../agent/frame.js";
import type { OutputLine } from "./service.js";

/** Of a stream: what has come since its last line feed. */
interface OpenLine {
  readonly stream: OutputLine["stream"];
  readonly decoder: TextDecoder;
  text: string;
}

/**
 * Takes chunks, gives lines: without their end, which is `\n` with at most one `\r` before it. A line has its place
 * where its end came; what one stream began and the other interrupted stays one line. Bytes that are no UTF-8 become
 * U+FFFD.
 */
export class OutputLines {
  readonly #open: Readonly<Record<OutputLine["stream"], OpenLine>> = {
    stdout: openLine("stdout"),
    stderr: openLine("stderr"),
  };
  /** Streams with an unfinished line, the one that began first in front. */
  readonly #unfinished: OpenLine[] = [];

  /** The lines that this chunk ends. */
  push(chunk: OutputChunk): OutputLine[] {
    const open = this.#open[chunk.channel === Channel.stderr ? "stderr" : "stdout"];
    return this.#take(open, open.decoder.decode(chunk.data, { stream: true }));
  }

  /** There is no more: what is left of each stream is a line, too. */
  end(): OutputLine[] {
    const lines = Object.values(this.#open).flatMap((open) =>
      this.#take(open, open.decoder.decode()),
    );
    return [...lines, ...this.#unfinished.splice(0).map((open) => line(open.stream, open.text))];
  }

  #take(open: OpenLine, text: string): OutputLine[] {
    if (text === "") return [];
    const pieces = text.split("\n");
    const rest = pieces.pop() ?? "";
    if (pieces.length === 0) {
      if (open.text === "") this.#unfinished.push(open);
      open.text += rest;
      return [];
    }
    pieces[0] = open.text + (pieces[0] ?? "");
    const at = this.#unfinished.indexOf(open);
    if (at !== -1) this.#unfinished.splice(at, 1);
    open.text = rest;
    if (rest !== "") this.#unfinished.push(open);
    return pieces.map((piece) => line(open.stream, piece));
  }
}

export function linesOf(chunks: Iterable<OutputChunk>): OutputLine[] {
  const lines = new OutputLines();
  const all: OutputLine[] = [];
  for (const chunk of chunks) all.push(...lines.push(chunk));
  return [...all, ...lines.end()];
}

function openLine(stream: OutputLine["stream"]): OpenLine {
  // A byte order mark is output like any other.
  return { stream, decoder: new TextDecoder("utf-8", { ignoreBOM: true }), text: "" };
}

function line(stream: OutputLine["stream"], text: string): OutputLine {
  return { stream, text: text.endsWith("\r") ? text.slice(0, -1) : text };
}
