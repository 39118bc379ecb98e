/** `msb-ts image pull`. */
import { CliCommand, type JsonOpts } from "../../command.js";
import type { CliContext } from "../../context.js";
import { forEachName, throwErrors } from "../../for-each.js";
import { printJson, printLine } from "../../output.js";
import { withProgress } from "../../progress/with-progress.js";
import { given, platformOption, quietOption } from "./options.js";
import { summaryOf } from "./summary.js";

interface PullOpts extends JsonOpts {
  readonly platform?: string;
  readonly plainHttp?: true;
  readonly quiet?: true;
}

export function pullCommand(ctx: CliContext): CliCommand {
  return new CliCommand("pull")
    .summary("fetch images from a registry and make their disks")
    .description(
      "Fetch images from a registry and make their disks. What is here already is not fetched again, and a " +
        "pull that was interrupted goes on where it ended. Credentials are those of docker login, or of " +
        "settings.json.",
    )
    .argument("<name...>", "[registry/]name[:tag][@digest]; Docker Hub and :latest unless said")
    .addOption(platformOption())
    .option("--plain-http", "talk to the registry without TLS")
    .addOption(quietOption("print digests only, no progress"))
    .jsonOption()
    .example("The official Python image", "msb-ts image pull python:3.12")
    .example("From a registry of your own", "msb-ts image pull registry.example.com/team/app:v2")
    .example("In a script", 'digest="$(msb-ts image pull -q alpine)"')
    .action((names: string[], opts: PullOpts) => pull(ctx, names, opts));
}

async function pull(ctx: CliContext, names: readonly string[], opts: PullOpts): Promise<void> {
  const images = await ctx.images();
  const outcomes = await withProgress(ctx, opts, (onProgress) =>
    forEachName(ctx, names, async (name) => ({
      name,
      image: await images.pull(name, {
        ...given({ platform: opts.platform, plainHttp: opts.plainHttp }),
        onProgress,
        signal: ctx.signal,
      }),
    })),
  );
  if (opts.json) {
    if (outcomes.results.length > 0)
      printJson(
        ctx,
        outcomes.results.map(({ image }) => image),
      );
  } else {
    for (const { name, image } of outcomes.results) {
      printLine(ctx, opts.quiet ? image.digest : `Pulled ${summaryOf(image, name)}`);
    }
  }
  throwErrors(outcomes);
}
