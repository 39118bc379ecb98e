/** `msb-ts image load`. */
import { addAbortSignal } from "node:stream";
import { CliCommand, type JsonOpts, UsageError } from "../../command.js";
import { type CliContext, isTerminal } from "../../context.js";
import { printJson, printLine } from "../../output.js";
import { withProgress } from "../../progress/with-progress.js";
import { given, platformOption, quietOption } from "./options.js";
import { summaryOf } from "./summary.js";

interface LoadOpts extends JsonOpts {
  readonly name?: string;
  readonly platform?: string;
  readonly quiet?: true;
}

export function loadCommand(ctx: CliContext): CliCommand {
  const command = new CliCommand("load");
  return command
    .summary("take images from an archive or a folder")
    .description(
      "Take images from an archive of docker save or of another tool that writes OCI layouts, packed or as a " +
        "folder.",
    )
    .argument("[file]", "a tar file, a folder with an OCI layout, or - for standard input", "-")
    .option("--name <name>", "a name for the image, when the archive has just one")
    .addOption(platformOption())
    .addOption(quietOption("no progress"))
    .jsonOption()
    .example("From Docker", "docker save python:3.12 | msb-ts image load")
    .example("From a folder with an OCI layout", "msb-ts image load ./layout --name team/app:v2")
    .action((file: string, opts: LoadOpts) => load(ctx, command, file, opts));
}

async function load(
  ctx: CliContext,
  command: CliCommand,
  file: string,
  opts: LoadOpts,
): Promise<void> {
  if (file === "-" && isTerminal(ctx.stdin)) {
    throw new UsageError(
      command,
      "Standard input is a terminal: name a file, or pipe an archive in.",
    );
  }
  const images = await ctx.images();
  const source = file === "-" ? addAbortSignal(ctx.signal, ctx.stdin) : file;
  const loaded = await withProgress(ctx, opts, (onProgress) =>
    images.load(source, {
      ...given({ name: opts.name, platform: opts.platform }),
      onProgress,
      signal: ctx.signal,
    }),
  );
  if (opts.json) return printJson(ctx, loaded);
  for (const image of loaded) printLine(ctx, `Loaded ${summaryOf(image, opts.name)}`);
}
