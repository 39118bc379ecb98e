/** `msb-ts rm`. */
import { SANDBOX_STATES } from "../../../sandbox/service.js";
import { CliCommand } from "../../command.js";
import { connect, type ServerUrlOpts, serverUrlOption } from "../../connect.js";
import type { CliContext } from "../../context.js";
import { forEachName, throwErrors } from "../../for-each.js";
import { printJson, printLine } from "../../output.js";
import { parseSandboxName, sandboxName } from "../../sandbox-names.js";
import { requireSelection, selectedNames, type SelectionOpts } from "./selection.js";

interface RmOpts extends ServerUrlOpts, SelectionOpts {
  readonly force?: true;
}

const ENDED = ["stopped", "failed"] as const;

export function rmCommand(ctx: CliContext): CliCommand {
  const command = new CliCommand("rm");
  return command
    .alias("remove")
    .summary("remove sandboxes and their disks")
    .description(
      "Remove sandboxes and their disks; the name of each is printed. One that runs is removed only with --force.",
    )
    .argument("[name...]", "name or namespace/name")
    .option("-f, --force", "also those that run: they are stopped first")
    .option("--all", "all that do not run; with --force all")
    .addOption(serverUrlOption())
    .jsonOption()
    .example("One that was stopped", "msb-ts rm lab")
    .example("Whatever is there", "msb-ts rm --all --force")
    .action((names: string[], opts: RmOpts) => remove(ctx, command, names, opts));
}

async function remove(
  ctx: CliContext,
  command: CliCommand,
  names: readonly string[],
  opts: RmOpts,
): Promise<void> {
  requireSelection(command, names, opts);
  const client = await connect(ctx, opts);
  const states = opts.force ? SANDBOX_STATES : ENDED;
  const chosen = await selectedNames(ctx, client, names, { ...opts, states });
  const outcomes = await forEachName(ctx, chosen, async (name) => {
    const key = parseSandboxName(name);
    await client.removeSandbox(key, { force: opts.force, signal: ctx.signal });
    return key;
  });
  if (!opts.json) for (const key of outcomes.results) printLine(ctx, sandboxName(key));
  else if (outcomes.results.length > 0 || opts.all) printJson(ctx, outcomes.results);
  throwErrors(outcomes);
}
