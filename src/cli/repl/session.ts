/** The prompt of `msb-ts code`: what is typed runs in one interpreter, entry by entry. */
import type { RunBody } from "../../api/code.js";
import type { SandboxParams } from "../../api/sandboxes.js";
import type { Language } from "../../kernel/run-types.js";
import { msbPaths } from "../../paths.js";
import { CodeOutput } from "../code-output.js";
import { connect, type ServerUrlOpts } from "../connect.js";
import type { CliContext } from "../context.js";
import { reportErrors } from "../error-report.js";
import { printLine } from "../output.js";
import { Pictures } from "../pictures.js";
import { sandboxName } from "../sandbox-names.js";
import { readHistory, writeHistory } from "./history.js";
import { isIncompleteNode } from "./incomplete-node.js";
import { isIncompletePython } from "./incomplete-python.js";
import { Prompt } from "./prompt.js";

export interface SessionOpts extends ServerUrlOpts {
  readonly language: Language;
  /** Milliseconds, of one entry. */
  readonly timeout?: number;
  readonly context?: string;
  readonly saveDir?: string;
}

interface Dialect {
  readonly title: string;
  readonly prompt: string;
  readonly goOn: string;
  readonly isIncomplete: (text: string) => boolean;
  readonly endOfEntry: string;
}

const DIALECTS: Readonly<Record<Language, Dialect>> = {
  python: {
    title: "Python",
    prompt: ">>> ",
    goOn: "... ",
    isIncomplete: isIncompletePython,
    endOfEntry:
      "An entry goes on while a bracket or string is open; a block ends with an empty line.",
  },
  node: {
    title: "JavaScript",
    prompt: "> ",
    goOn: "... ",
    isIncomplete: isIncompleteNode,
    endOfEntry: "An entry goes on while a bracket, string or statement is open.",
  },
};

/** Until Ctrl-D or `.exit`. */
export async function runSession(
  ctx: CliContext,
  key: SandboxParams,
  opts: SessionOpts,
): Promise<void> {
  const dialect = DIALECTS[opts.language];
  const historyFile = msbPaths(ctx.env["MSB_HOME"] || undefined).codeHistory(opts.language);
  using prompt = new Prompt(ctx, await readHistory(historyFile));
  printLine(ctx, `${dialect.title} in ${sandboxName(key)}. Ctrl-D leaves, .help tells more.`);
  const output = new CodeOutput(ctx, new Pictures(opts.saveDir));
  try {
    for (;;) {
      const entry = await readEntry(prompt, dialect);
      if (entry === null) break;
      const word = entry.trim();
      if (word === ".exit") return;
      if (word === ".help") printHelp(ctx, dialect);
      else if (word !== "") await runEntry(ctx, prompt, output, key, entry, opts);
    }
    printLine(ctx, "");
  } finally {
    await writeHistory(historyFile, prompt.history);
  }
}

/** Null at the end. */
async function readEntry(prompt: Prompt, dialect: Dialect): Promise<string | null> {
  let lines: string[] = [];
  for (;;) {
    const event = await prompt.ask(lines.length === 0 ? dialect.prompt : dialect.goOn);
    if (event.type === "end") return null;
    if (event.type === "cleared") {
      lines = [];
      continue;
    }
    lines.push(event.text);
    const text = lines.join("\n");
    if (!dialect.isIncomplete(text)) return text;
  }
}

/** What fails is told, and the prompt comes again: the sandbox or the server may be back with the next entry. */
async function runEntry(
  ctx: CliContext,
  prompt: Prompt,
  output: CodeOutput,
  key: SandboxParams,
  code: string,
  opts: SessionOpts,
): Promise<void> {
  try {
    // Each time anew: keys expire, and a server that was started again may be elsewhere.
    const client = await connect(ctx, opts);
    const contextId = opts.context;
    const body: RunBody = {
      language: opts.language,
      code,
      ...(opts.timeout === undefined ? {} : { timeoutMs: opts.timeout }),
      ...(contextId === undefined ? {} : { contextId }),
    };
    const interrupt = (): void => {
      const call = { signal: ctx.signal };
      // The context of a language has its name.
      const asked = client.interruptContext(key, contextId ?? opts.language, call);
      asked.catch((error: unknown) => reportErrors(ctx, [error], { json: false }));
    };
    await prompt.during(async () => {
      for await (const record of client.runCode(key, body, { signal: ctx.signal })) {
        await output.take(record);
      }
    }, interrupt);
    await output.endLine();
  } catch (error) {
    if (ctx.signal.aborted) throw error;
    await output.endLine();
    reportErrors(ctx, [error], { json: false });
  }
}

function printHelp(ctx: CliContext, dialect: Dialect): void {
  for (const line of [
    dialect.endOfEntry,
    "Ctrl-C interrupts what runs, or drops what is typed. Ctrl-D or .exit leaves; names and imports stay in the",
    "sandbox. Arrow keys bring back what was typed before.",
  ]) {
    printLine(ctx, line);
  }
}
