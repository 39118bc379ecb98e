/** `msb-ts image tag`. */
import { CliCommand, type JsonOpts } from "../../command.js";
import type { CliContext } from "../../context.js";
import { imageId, oneLine } from "../../format.js";
import { printJson, printLine } from "../../output.js";

export function tagCommand(ctx: CliContext): CliCommand {
  return new CliCommand("tag")
    .summary("give an image another name")
    .description("Give an image another name. A name that another image has moves to this one.")
    .argument("<source>", "a name, a digest, or the first digits of a digest")
    .argument("<target>", "the new name, [registry/]name[:tag]")
    .jsonOption()
    .example("A name of your own", "msb-ts image tag python:3.12 team/python:stable")
    .action(async (source: string, target: string, opts: JsonOpts) => {
      const images = await ctx.images();
      const image = await images.tag(source, target);
      if (opts.json) return printJson(ctx, image);
      printLine(ctx, `Tagged ${imageId(image.digest, { truncate: true })} as ${oneLine(target)}`);
    });
}
