/** `msb-ts image warm`. */
import type { WarmedView } from "../../../api/warm.js";
import { CliCommand } from "../../command.js";
import { connect, type ServerUrlOpts, serverUrlOption } from "../../connect.js";
import type { CliContext } from "../../context.js";
import { count, oneLine, size } from "../../format.js";
import { printJson, printLine } from "../../output.js";
import { withProgress } from "../../progress/with-progress.js";
import { mebibytes, wholeNumber } from "../../values.js";
import { given } from "./options.js";

interface WarmOpts extends ServerUrlOpts {
  /** MiB, as is `disk`. */
  readonly memory?: number;
  readonly cpus?: number;
  readonly disk?: number;
}

export function warmCommand(ctx: CliContext): CliCommand {
  return new CliCommand("warm")
    .summary("let the next sandbox from an image start quickly")
    .description(
      "Let the running server make what the next sandbox from an image starts from, before there is one: a template " +
        "(--max-templates of msb-ts server start), or a guest that runs ahead (--warm-guests). An image that is not " +
        "here is fetched. It serves sandboxes of the same memory, CPUs and size of disk, so name them as in msb-ts " +
        "create. Where it is ready already, nothing is done. Interrupted, it is called off, unless others wait for " +
        "the same.",
    )
    .argument("<image>", "an image, as in msb-ts image pull")
    .option("-m, --memory <size>", "in MiB, or with a unit: 512m, 2g (1024)", mebibytes)
    .option("--cpus <count>", "virtual CPUs (1)", wholeNumber)
    .option("--disk <size>", "of the private disk: 512m, 10g (4096)", mebibytes)
    .addOption(serverUrlOption())
    .jsonOption()
    .example("Before the first sandbox with Python", "msb-ts image warm python")
    .example("For those of another size", "msb-ts image warm msb-ts/node -m 512m --cpus 2")
    .example(
      "After the start of the server",
      "msb-ts server start --detach && msb-ts image warm python",
    )
    .action((image: string, opts: WarmOpts) => warm(ctx, image, opts));
}

async function warm(ctx: CliContext, image: string, opts: WarmOpts): Promise<void> {
  const { memory: memoryMiB, cpus, disk: diskMiB } = opts;
  const client = await connect(ctx, opts);
  const warmed = await withProgress(ctx, opts, (onProgress) =>
    client.warmImage(
      { image, ...given({ memoryMiB, cpus, diskMiB }) },
      { onProgress, signal: ctx.signal },
    ),
  );
  if (opts.json) printJson(ctx, warmed);
  else printLine(ctx, summaryOf(warmed));
}

/** `python is ready: a template of 81 MB, for sandboxes of 512 MiB, 1 CPU and a disk of 4096 MiB` */
function summaryOf({ wasReady, headStart, keptBytes, ...kind }: WarmedView): string {
  const { image, memoryMiB, cpus, diskMiB } = kind;
  const name = oneLine(image);
  const what = headStart === "guest" ? "a guest runs ahead" : `a template of ${size(keptBytes)}`;
  const sandboxes = `sandboxes of ${memoryMiB} MiB, ${count(cpus, "CPU")} and a disk of ${diskMiB} MiB`;
  return `${wasReady ? `${name} is ready` : `Warmed ${name}`}: ${what}, for ${sandboxes}`;
}
