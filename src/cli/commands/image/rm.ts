/** `msb-ts image rm`. */
import { CliCommand, type JsonOpts } from "../../command.js";
import type { CliContext } from "../../context.js";
import { printJson } from "../../output.js";
import { given } from "./options.js";
import { printRemoved } from "./summary.js";

interface RmOpts extends JsonOpts {
  readonly force?: true;
}

export function rmCommand(ctx: CliContext): CliCommand {
  return new CliCommand("rm")
    .alias("remove")
    .summary("remove names, and images that have no other")
    .description(
      "Remove names. An image whose last name this is goes with it, and so do its layers and its disk unless " +
        "others need them.",
    )
    .argument("<name...>", "names, digests, or the first digits of a digest")
    .option(
      "--force",
      "also an image that a sandbox uses or a server has warmed, and all names of one that is given by its digest",
    )
    .jsonOption()
    .example("One name", "msb-ts image rm python:3.11")
    .example("An image and all its names", "msb-ts image rm --force 3f2a9c1b8d7e")
    .action(async (names: string[], opts: RmOpts) => {
      const images = await ctx.images();
      const removed = await images.remove([...new Set(names)], given({ force: opts.force }));
      if (opts.json) printJson(ctx, removed);
      else printRemoved(ctx, removed);
    });
}
