/** Lines that somebody types at a terminal, with editing and history; Ctrl-C and Ctrl-D are events. */
import { createInterface, type Interface } from "node:readline";
import { abortable, deferred, type Deferred } from "../../util/async.js";
import type { CliContext } from "../context.js";
import { MAX_HISTORY_LINES } from "./history.js";

export type PromptEvent =
  | { readonly type: "line"; readonly text: string }
  /** Ctrl-C while a line is typed, which is gone. */
  | { readonly type: "cleared" }
  /** Ctrl-D. */
  | { readonly type: "end" };

const ERASE_LINE = [
  { ctrl: true, name: "e" },
  { ctrl: true, name: "u" },
] as const;

export class Prompt implements Disposable {
  readonly #ctx: CliContext;
  readonly #lines: Interface;
  /** Also what is typed ahead while nobody asks. */
  readonly #events: PromptEvent[] = [];
  #waiting: Deferred<void> | null = null;
  #onInterrupt: (() => void) | null = null;
  #history: readonly string[];

  constructor(ctx: CliContext, history: readonly string[]) {
    this.#ctx = ctx;
    this.#history = history;
    this.#lines = createInterface({
      input: ctx.stdin,
      output: ctx.stdout,
      terminal: true,
      history: [...history],
      historySize: MAX_HISTORY_LINES,
      removeHistoryDuplicates: true,
    });
    this.#lines.on("line", (text) => this.#push({ type: "line", text }));
    this.#lines.on("close", () => this.#push({ type: "end" }));
    this.#lines.on("history", (lines: readonly string[]) => (this.#history = [...lines]));
    this.#lines.on("SIGINT", () => this.#interrupted());
  }

  /** The last first. */
  get history(): readonly string[] {
    return this.#history;
  }

  /** Throws the reason of the context's signal. */
  async ask(prompt: string): Promise<PromptEvent> {
    if (this.#events.length === 0) {
      this.#lines.setPrompt(prompt);
      this.#lines.prompt();
      this.#waiting = deferred();
      await abortable(this.#waiting.promise, this.#ctx.signal, "The prompt");
    }
    return this.#events.shift()!;
  }

  /** Meanwhile Ctrl-C calls `onInterrupt`. */
  async during<T>(work: () => Promise<T>, onInterrupt: () => void): Promise<T> {
    this.#onInterrupt = onInterrupt;
    try {
      return await work();
    } finally {
      this.#onInterrupt = null;
    }
  }

  /** The terminal is as it was. */
  [Symbol.dispose](): void {
    this.#lines.close();
  }

  #interrupted(): void {
    // With nothing typed it would erase what the code has written in this line.
    if (this.#lines.line !== "") for (const key of ERASE_LINE) this.#lines.write(null, key);
    this.#ctx.stdout.write("^C\n");
    if (this.#onInterrupt === null) return this.#push({ type: "cleared" });
    // What was typed ahead was meant for code that went well.
    this.#events.length = 0;
    this.#onInterrupt();
  }

  #push(event: PromptEvent): void {
    this.#events.push(event);
    this.#waiting?.resolve();
    this.#waiting = null;
  }
}
