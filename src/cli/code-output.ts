/** What code writes and gives, passed on as it comes. */
import type { RunRecord } from "../api/code.js";
import type { RunRecordView } from "../sdk/client.js";
import { printable } from "../util/printable.js";
import { passOn } from "./byte-output.js";
import { type CliContext, isTerminal, type OutputStream } from "./context.js";
import type { Pictures, ResultView } from "./pictures.js";

export type CodeEnd = Extract<RunRecord, { type: "end" }>;

export class CodeOutput {
  readonly #ctx: CliContext;
  readonly #pictures: Pictures;
  #isLineOpen = false;

  constructor(ctx: CliContext, pictures: Pictures) {
    this.#ctx = ctx;
    this.#pictures = pictures;
  }

  /** Text of an exception was on stderr already, so `error` says nothing new. */
  async take(record: RunRecordView): Promise<void> {
    if (record.type === "stdout" || record.type === "stderr") {
      await this.#write(this.#ctx[record.type], record.text);
    } else if (record.type === "result") await this.#result(record.result);
    else if (record.type === "end") await this.#end(record);
  }

  /** So that a prompt begins at the left. */
  async endLine(): Promise<void> {
    if (this.#isLineOpen) await this.#write(this.#ctx.stdout, "\n");
  }

  async #result(result: ResultView): Promise<void> {
    const { stdout, stderr } = this.#ctx;
    const leftOut = result.omitted?.["text"];
    const text =
      result.text ??
      (leftOut === undefined ? undefined : `[${leftOut} bytes of a value were left out]`);
    if (text !== undefined) {
      await this.endLine();
      await this.#write(stdout, `${isTerminal(stdout) ? printable(text) : text}\n`);
    }
    const path = await this.#pictures.keep(result);
    if (path !== null) await this.#write(stderr, `Saved ${path}\n`);
  }

  async #end(end: CodeEnd): Promise<void> {
    const notes = [...endNotes(end), this.#pictures.skippedNote()];
    for (const note of notes) {
      if (note !== null) await this.#note(note);
    }
  }

  async #note(text: string): Promise<void> {
    if (isTerminal(this.#ctx.stderr)) await this.endLine();
    await this.#write(this.#ctx.stderr, `msb-ts: ${text}\n`);
  }

  async #write(stream: OutputStream, text: string): Promise<void> {
    if (text === "") return;
    // What does not go to the terminal leaves no line open there.
    if (isTerminal(stream)) this.#isLineOpen = !text.endsWith("\n");
    await passOn(this.#ctx, stream, text);
  }
}

/** What the code cannot have said itself about its end. */
function endNotes({ reason, stateLost }: CodeEnd): string[] {
  const notes: string[] = [];
  if (reason === "timeout")
    notes.push("The code ran longer than its --timeout and was interrupted.");
  if (reason === "interrupted") notes.push("The code was interrupted.");
  if (reason === "exited") notes.push("The code ended its interpreter.");
  if (reason === "died") notes.push("The interpreter ended while it ran the code.");
  if (stateLost) notes.push("A new interpreter takes its place: names and imports are gone.");
  return notes;
}
