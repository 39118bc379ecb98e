/** A question to whoever sits in front of the terminal. */
import { createInterface } from "node:readline/promises";
import { throwIfAborted } from "../util/async.js";
import { type CliContext, isInteractive } from "./context.js";

/**
 * True after a yes. undefined when there is nobody to ask. A closed input is a no.
 * Throws the reason of the context's signal when that aborts.
 */
export async function confirm(ctx: CliContext, question: string): Promise<boolean | undefined> {
  if (!isInteractive(ctx)) return undefined;
  throwIfAborted(ctx.signal, "The question");
  // Not as a terminal: the kernel edits the line, and Ctrl-C stays a signal.
  const lines = createInterface({ input: ctx.stdin, terminal: false });
  try {
    ctx.stderr.write(`${question} [y/N] `);
    const answer = await new Promise<string>((resolve) => {
      lines.once("line", resolve);
      lines.once("close", () => resolve(""));
      ctx.signal.addEventListener("abort", () => resolve(""), { once: true });
    });
    throwIfAborted(ctx.signal, "The question");
    return /^\s*y(es)?\s*$/i.test(answer);
  } finally {
    lines.close();
  }
}
