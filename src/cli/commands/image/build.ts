/** `msb-ts image build`. */
import type { ImageInfo } from "../../../oci/image.js";
import { CliCommand, type JsonOpts } from "../../command.js";
import type { CliContext } from "../../context.js";
import { printJson, printLine } from "../../output.js";
import { withProgress } from "../../progress/with-progress.js";
import { collect, given, platformOption, quietOption } from "./options.js";
import { summaryOf } from "./summary.js";

interface BuildOpts extends JsonOpts {
  readonly tag?: readonly string[];
  readonly platform?: string;
  readonly quiet?: true;
}

export function buildCommand(ctx: CliContext): CliCommand {
  return new CliCommand("build")
    .summary("build an image from a recipe")
    .description(
      "Build an image from a recipe, from packages of Debian and without Docker. The recipes base, python and " +
        "node come with msb-ts; their images are named msb-ts/base, msb-ts/python and msb-ts/node.",
    )
    .argument("<recipe>", "base, python, node, or a folder with a recipe")
    .option("-t, --tag <name>", "another name for the image; may be repeated", collect)
    .addOption(platformOption())
    .addOption(quietOption("print the digest only, no progress"))
    .jsonOption()
    .example("The image that Python sandboxes use", "msb-ts image build python")
    .example("A recipe of your own", "msb-ts image build ./my-recipe --tag team/tools:v1")
    .action((recipe: string, opts: BuildOpts) => build(ctx, recipe, opts));
}

async function build(ctx: CliContext, recipe: string, opts: BuildOpts): Promise<void> {
  const images = await ctx.images();
  let image: ImageInfo = await withProgress(ctx, opts, (onProgress) =>
    images.build(recipe, { ...given({ platform: opts.platform }), onProgress, signal: ctx.signal }),
  );
  for (const name of opts.tag ?? []) image = await images.tag(image.digest, name);
  if (opts.json) printJson(ctx, image);
  else printLine(ctx, opts.quiet ? image.digest : `Built ${summaryOf(image)}`);
}
