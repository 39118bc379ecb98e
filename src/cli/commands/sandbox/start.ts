/** `msb-ts start`. */
import { CliCommand } from "../../command.js";
import { connect, type ServerUrlOpts, serverUrlOption } from "../../connect.js";
import type { CliContext } from "../../context.js";
import { forEachName, throwErrors } from "../../for-each.js";
import { withProgress } from "../../progress/with-progress.js";
import { parseSandboxName } from "../../sandbox-names.js";
import { printSandboxes } from "./summary.js";

export function startCommand(ctx: CliContext): CliCommand {
  return new CliCommand("start")
    .summary("start sandboxes that were stopped")
    .description(
      "Start sandboxes again, as they were made and with their disks. The name of each is printed when it is ready; " +
        "one that runs is left as it is.",
    )
    .argument("<name...>", "name or namespace/name")
    .addOption(serverUrlOption())
    .jsonOption()
    .example("One", "msb-ts start lab")
    .example("Several", "msb-ts start lab team-a/build")
    .action((names: string[], opts: ServerUrlOpts) => start(ctx, names, opts));
}

async function start(
  ctx: CliContext,
  names: readonly string[],
  opts: ServerUrlOpts,
): Promise<void> {
  const client = await connect(ctx, opts);
  const outcomes = await withProgress(ctx, opts, (onProgress) =>
    forEachName(ctx, names, (name) =>
      client.startSandbox(parseSandboxName(name), null, { onProgress, signal: ctx.signal }),
    ),
  );
  printSandboxes(ctx, outcomes.results, opts);
  throwErrors(outcomes);
}
