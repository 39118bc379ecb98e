/** `msb-ts code`. */
import { Option } from "commander";
import type { RunBody } from "../../../api/code.js";
import type { SandboxParams } from "../../../api/sandboxes.js";
import { type Language, LANGUAGES } from "../../../kernel/run-types.js";
import type { MsbClient, RunRecordView } from "../../../sdk/client.js";
import { brokenOff } from "../../broken-off.js";
import { languageOfFile, languageOfSandbox } from "../../code-language.js";
import { type CodeEnd, CodeOutput } from "../../code-output.js";
import { CliCommand, UsageError } from "../../command.js";
import { connect, type ServerUrlOpts, serverUrlOption } from "../../connect.js";
import { type CliContext, isTerminal } from "../../context.js";
import { QuietExit } from "../../exit.js";
import { printJson } from "../../output.js";
import { Pictures, type ResultView } from "../../pictures.js";
import { parseSandboxName } from "../../sandbox-names.js";
import { duration } from "../../values.js";
import { given } from "../image/options.js";
import { readCode } from "./code-source.js";

export interface CodeOpts extends ServerUrlOpts {
  readonly language?: Language;
  readonly code?: string;
  /** Milliseconds. */
  readonly timeout?: number;
  readonly context?: string;
  readonly saveDir?: string;
}

export function codeCommand(ctx: CliContext): CliCommand {
  const command = new CliCommand("code");
  return command
    .summary("run Python or JavaScript in a sandbox, or type it")
    .description(
      "Run code in an interpreter of a sandbox, which keeps names and imports for the next code. What it writes is " +
        "passed on as it comes, and values of expressions are printed. The exit code is 0 when it succeeds and 1 when " +
        "not; Ctrl-C interrupts it. In a terminal without FILE and --code you type it: .help tells more.",
    )
    .argument("<name>", "name or namespace/name")
    .argument("[file]", "a file of this machine; - for standard input")
    .addOption(
      new Option(
        "-l, --language <name>",
        "its language (by the file's ending, else by the image)",
      ).choices(LANGUAGES),
    )
    .option("-c, --code <code>", "the code itself")
    .option("--timeout <duration>", "interrupt it after so long: 30s, 10m", duration)
    .option("--context <id>", "an interpreter of its own, made through the API or the SDK")
    .option("--save-dir <dir>", "keep pictures as files there")
    .addOption(serverUrlOption())
    .jsonOption()
    .example("A file", "msb-ts code lab analysis.py --save-dir plots")
    .example("One line", "msb-ts code lab -c 'print(6 * 7)'")
    .example("What another program writes", "generate | msb-ts code lab - --language python")
    .example("To type it", "msb-ts code lab")
    .action((name: string, file: string | undefined, opts: CodeOpts) => {
      if (file !== undefined && opts.code !== undefined) {
        throw new UsageError(command, "A file and --code do not go together.");
      }
      return code(ctx, name, file, opts);
    });
}

async function code(
  ctx: CliContext,
  name: string,
  file: string | undefined,
  opts: CodeOpts,
): Promise<void> {
  const key = parseSandboxName(name);
  const client = await connect(ctx, opts);
  const isTyped = file === undefined && opts.code === undefined && !opts.json;
  if (isTyped && isTerminal(ctx.stdin) && isTerminal(ctx.stdout)) {
    const { runSession } = await import("../../repl/session.js");
    const language = await languageOf(ctx, client, key, undefined, opts);
    return runSession(ctx, key, { ...opts, language });
  }
  const text = opts.code ?? (await readCode(ctx, file ?? "-"));
  const body: RunBody = {
    language: await languageOf(ctx, client, key, file, opts),
    code: text,
    ...given({ timeoutMs: opts.timeout, contextId: opts.context }),
  };
  const records = client.runCode(key, body, { signal: ctx.signal });
  const pictures = new Pictures(opts.saveDir);
  const end = opts.json
    ? await printDocument(ctx, records, pictures)
    : await stream(ctx, records, pictures);
  if (end.status !== "success") throw new QuietExit(1);
}

/** As it was said, by the file's ending, by the context, by the sandbox. */
async function languageOf(
  ctx: CliContext,
  client: MsbClient,
  key: SandboxParams,
  file: string | undefined,
  opts: CodeOpts,
): Promise<Language> {
  const known = opts.language ?? (file === undefined ? undefined : languageOfFile(file));
  if (known !== undefined) return known;
  const call = { signal: ctx.signal };
  if (opts.context !== undefined) {
    const contexts = await client.contexts(key, call);
    const found = contexts.find(({ id }) => id === opts.context);
    if (found !== undefined) return found.language;
  }
  return languageOfSandbox(client, key, call);
}

async function stream(
  ctx: CliContext,
  records: AsyncIterable<RunRecordView>,
  pictures: Pictures,
): Promise<CodeEnd> {
  const output = new CodeOutput(ctx, pictures);
  let end: CodeEnd | undefined;
  for await (const record of records) {
    if (record.type === "end") end = record;
    await output.take(record);
  }
  if (end === undefined) throw brokenOff("code");
  return end;
}

async function printDocument(
  ctx: CliContext,
  records: AsyncIterable<RunRecordView>,
  pictures: Pictures,
): Promise<CodeEnd> {
  const text = { stdout: "", stderr: "" };
  const results: ResultView[] = [];
  const files: string[] = [];
  let error: Extract<RunRecordView, { type: "error" }>["error"] | null = null;
  let end: CodeEnd | undefined;
  for await (const record of records) {
    if (record.type === "stdout" || record.type === "stderr") text[record.type] += record.text;
    else if (record.type === "error") error = record.error;
    else if (record.type === "end") end = record;
    else if (record.type === "result") {
      results.push(record.result);
      const path = await pictures.keep(record.result);
      if (path !== null) files.push(path);
    }
  }
  if (end === undefined) throw brokenOff("code");
  const { type: _type, ...facts } = end;
  printJson(ctx, { ...facts, ...text, results, error, files });
  return end;
}
