/** `msb-ts image save`. */
import { Option } from "commander";
import type { ArchiveFormat } from "../../../oci/archive/save.js";
import { CliCommand, type JsonOpts, UsageError } from "../../command.js";
import { type CliContext, isTerminal } from "../../context.js";
import { oneLine } from "../../format.js";
import { printJson, printLine } from "../../output.js";
import { withProgress } from "../../progress/with-progress.js";
import { quietOption } from "./options.js";

interface SaveOpts extends JsonOpts {
  readonly output: string;
  readonly format: ArchiveFormat;
  readonly quiet?: true;
}

const FORMATS: readonly ArchiveFormat[] = ["oci", "docker", "oci-dir"];

export function saveCommand(ctx: CliContext): CliCommand {
  const command = new CliCommand("save");
  return command
    .summary("write images to an archive or a folder")
    .description(
      "Write images to an archive or a folder that msb-ts image load and other tools read.",
    )
    .argument("<name...>", "names, digests, or the first digits of a digest")
    .option("-o, --output <file>", "where to, or - for standard output", "-")
    .addOption(
      new Option(
        "--format <format>",
        "oci: a tar file with an OCI layout; docker: what docker load reads; oci-dir: a folder",
      )
        .choices(FORMATS)
        .default("oci"),
    )
    .addOption(quietOption("no progress"))
    .jsonOption()
    .example("A file", "msb-ts image save python:3.12 -o python.tar")
    .example("To another machine", "msb-ts image save app | ssh host msb-ts image load")
    .example("To Docker", "msb-ts image save app --format docker | docker load")
    .action((names: string[], opts: SaveOpts) => save(ctx, command, names, opts));
}

async function save(
  ctx: CliContext,
  command: CliCommand,
  names: readonly string[],
  opts: SaveOpts,
): Promise<void> {
  const isStdout = opts.output === "-";
  if (isStdout) checkStdout(ctx, command, opts);
  const images = await ctx.images();
  const unique = [...new Set(names)];
  await withProgress(ctx, opts, (onProgress) =>
    images.save(unique, isStdout ? ctx.stdout : opts.output, {
      format: opts.format,
      onProgress,
      signal: ctx.signal,
    }),
  );
  if (isStdout) return;
  const { output, format } = opts;
  if (opts.json) return printJson(ctx, { images: unique, output, format });
  const shown = unique.map((name) => oneLine(name)).join(", ");
  if (!opts.quiet) printLine(ctx, `Saved ${shown} to ${oneLine(output)}`);
}

function checkStdout(ctx: CliContext, command: CliCommand, opts: SaveOpts): void {
  if (opts.format === "oci-dir") {
    throw new UsageError(command, "A folder cannot go to standard output: name it with --output.");
  }
  if (opts.json) {
    throw new UsageError(
      command,
      "Standard output cannot have the archive and a JSON document: name a file with --output.",
    );
  }
  if (isTerminal(ctx.stdout)) {
    throw new UsageError(
      command,
      "Standard output is a terminal: name a file with --output, or pipe the archive on.",
    );
  }
}
