/** `msb-ts bench`. */
import type { Language } from "../../../kernel/run-types.js";
import { languageOfImage } from "../../code-language.js";
import { CliCommand } from "../../command.js";
import { connect, type ServerUrlOpts, serverUrlOption } from "../../connect.js";
import type { CliContext } from "../../context.js";
import { printJson, printTable } from "../../output.js";
import { duration, mebibytes, wholeNumber } from "../../values.js";
import { measure } from "./measure.js";
import { BENCH_HEAD, benchRows } from "./rows.js";

interface BenchOpts extends ServerUrlOpts {
  readonly rounds: number;
  readonly calls: number;
  /** MiB. */
  readonly memory?: number;
  /** Milliseconds. */
  readonly settle: number;
}

export function benchCommand(ctx: CliContext): CliCommand {
  return new CliCommand("bench")
    .summary("measure how quick sandboxes are on this machine")
    .description(
      "Start sandboxes one after the other on the server, run a command and code in them, and remove them. Each figure " +
        "stands beside its floor in the same run: what a bare request to the server takes, or the first start. " +
        "The first start makes what later ones go on from (--max-templates, --warm-guests of msb-ts server start).",
    )
    .argument("[image]", "an image with Python or Node.js, as in msb-ts image pull", "python")
    .option("--rounds <count>", "starts after the first", wholeNumber, 5)
    .option("--calls <count>", "requests, commands and runs of code", wholeNumber, 50)
    .option("-m, --memory <size>", "of each sandbox: 512m, 2g (1024)", mebibytes)
    .option(
      "--settle <duration>",
      "for the server to make what later starts go on from (15s)",
      duration,
      15_000,
    )
    .addOption(serverUrlOption())
    .jsonOption()
    .example("On this machine", "msb-ts bench")
    .example("Keep the figures", "msb-ts bench msb-ts/node --json > before.json")
    .action((image: string, opts: BenchOpts) => bench(ctx, image, opts));
}

async function bench(ctx: CliContext, image: string, opts: BenchOpts): Promise<void> {
  const client = await connect(ctx, opts);
  const language: Language = languageOfImage(image) ?? "python";
  const figures = await measure(client, {
    image,
    language,
    rounds: opts.rounds,
    calls: opts.calls,
    memoryMiB: opts.memory,
    settleMs: opts.settle,
    signal: ctx.signal,
    onStep: (text) => ctx.stderr.write(`${text}\n`),
  });
  const rows = benchRows(figures);
  if (opts.json) printJson(ctx, rows);
  else {
    printTable(
      ctx,
      BENCH_HEAD,
      rows.map(({ what, p50Ms, p95Ms, floor, ratio }) => [
        what,
        ms(p50Ms),
        ms(p95Ms),
        floor ?? "-",
        ratio === null ? "-" : `${ratio}`,
      ]),
    );
  }
}

function ms(value: number): string {
  return `${value} ms`;
}
