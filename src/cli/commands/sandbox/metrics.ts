/** `msb-ts metrics`. */
import { CliCommand } from "../../command.js";
import { connect, type ServerUrlOpts, serverUrlOption } from "../../connect.js";
import type { CliContext } from "../../context.js";
import { forEachName, throwErrors } from "../../for-each.js";
import { printJson, printTable } from "../../output.js";
import { parseSandboxName } from "../../sandbox-names.js";
import { METRICS_HEAD, metricsRow } from "./metrics-row.js";

export function metricsCommand(ctx: CliContext): CliCommand {
  return new CliCommand("metrics")
    .summary("show what sandboxes use")
    .description(
      "Show what sandboxes use now. CPU is of one core of this machine, MEMORY what the microVM takes here, DISK what " +
        "is used of its private disk; the rest is what the sandbox says of itself.",
    )
    .argument("<name...>", "name or namespace/name")
    .addOption(serverUrlOption())
    .jsonOption()
    .example("One look", "msb-ts metrics lab")
    .example("One number for a program", "msb-ts metrics lab --json | jq '.[0].memoryMiB'")
    .action((names: string[], opts: ServerUrlOpts) => metrics(ctx, names, opts));
}

async function metrics(
  ctx: CliContext,
  names: readonly string[],
  opts: ServerUrlOpts,
): Promise<void> {
  const client = await connect(ctx, opts);
  const outcomes = await forEachName(ctx, names, (name) =>
    client.metrics(parseSandboxName(name), { signal: ctx.signal }),
  );
  if (outcomes.results.length > 0) {
    if (opts.json) printJson(ctx, outcomes.results);
    else printTable(ctx, METRICS_HEAD, outcomes.results.map(metricsRow));
  }
  throwErrors(outcomes);
}
