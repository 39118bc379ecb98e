/** `msb-ts stop`. */
import { CliCommand } from "../../command.js";
import { connect, type ServerUrlOpts, serverUrlOption } from "../../connect.js";
import type { CliContext } from "../../context.js";
import { forEachName, throwErrors } from "../../for-each.js";
import { parseSandboxName } from "../../sandbox-names.js";
import { duration } from "../../values.js";
import { requireSelection, selectedNames, type SelectionOpts } from "./selection.js";
import { printSandboxes } from "./summary.js";

interface StopOpts extends ServerUrlOpts, SelectionOpts {
  /** Milliseconds. */
  readonly grace?: number;
}

const RUNNING = ["creating", "booting", "running"] as const;

export function stopCommand(ctx: CliContext): CliCommand {
  const command = new CliCommand("stop");
  return command
    .summary("stop sandboxes; their disks stay")
    .description(
      "Stop sandboxes; their disks stay until msb-ts rm. The name of each is printed when it has stopped. One that " +
        "does not run is no error.",
    )
    .argument("[name...]", "name or namespace/name")
    .option(
      "--grace <duration>",
      "how long it may take to end in order: 5s, 0 for at once",
      duration,
    )
    .option("--all", "all that run")
    .addOption(serverUrlOption())
    .jsonOption()
    .example("One", "msb-ts stop lab")
    .example("All, at once", "msb-ts stop --all --grace 0")
    .action((names: string[], opts: StopOpts) => stop(ctx, command, names, opts));
}

async function stop(
  ctx: CliContext,
  command: CliCommand,
  names: readonly string[],
  opts: StopOpts,
): Promise<void> {
  requireSelection(command, names, opts);
  const client = await connect(ctx, opts);
  const chosen = await selectedNames(ctx, client, names, { ...opts, states: RUNNING });
  const outcomes = await forEachName(ctx, chosen, (name) =>
    client.stopSandbox(parseSandboxName(name), { graceMs: opts.grace, signal: ctx.signal }),
  );
  printSandboxes(ctx, outcomes.results, opts);
  throwErrors(outcomes);
}
