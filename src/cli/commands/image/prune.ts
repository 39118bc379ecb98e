/** `msb-ts image prune`. */
import { isDigest } from "../../../oci/digest.js";
import type { PrunedImages } from "../../../oci/image.js";
import { CliCommand, type JsonOpts, UsageError } from "../../command.js";
import { confirm } from "../../confirm.js";
import type { CliContext } from "../../context.js";
import { familiar } from "../../format.js";
import { printJson, printLine } from "../../output.js";
import { printRemoved } from "./summary.js";

interface PruneOpts extends JsonOpts {
  readonly all?: true;
  readonly yes?: true;
}

const NOTHING: PrunedImages = { names: [], digests: [], freedBytes: 0, warmed: [] };

export function pruneCommand(ctx: CliContext): CliCommand {
  const command = new CliCommand("prune");
  return command
    .summary("remove what nobody needs")
    .description(
      "Remove images without a name, interrupted downloads and disks that no image needs. What a sandbox uses, " +
        "a running server has warmed (msb-ts image warm) or another command works on stays.",
    )
    .option(
      "-a, --all",
      "also images with names, unless a sandbox uses them or a server has warmed them",
    )
    .option("-y, --yes", "do not ask")
    .jsonOption()
    .example("Tidy up", "msb-ts image prune")
    .example("Start afresh", "msb-ts image prune --all --yes")
    .action(async (opts: PruneOpts) => {
      if (opts.all && !opts.yes && !(await isConfirmed(ctx, command))) {
        if (opts.json) printJson(ctx, NOTHING);
        else printLine(ctx, "Nothing was removed.");
        return;
      }
      const images = await ctx.images();
      const removed = await images.prune({ all: opts.all === true });
      if (opts.json) return printJson(ctx, removed);
      for (const name of removed.warmed) {
        printLine(
          ctx,
          `Kept: ${isDigest(name) ? name : familiar(name)}, which a running server has warmed`,
        );
      }
      printRemoved(ctx, removed);
    });
}

async function isConfirmed(ctx: CliContext, command: CliCommand): Promise<boolean> {
  const answer = await confirm(
    ctx,
    "Every image that no sandbox uses and no server has warmed is removed. Go on?",
  );
  if (answer !== undefined) return answer;
  throw new UsageError(
    command,
    "prune --all removes images with names, and there is nobody to ask: give --yes.",
  );
}
