/** `msb-ts logs`. */
import { Option } from "commander";
import type { LogsQuery } from "../../../api/logs.js";
import { CliCommand } from "../../command.js";
import { connect, type ServerUrlOpts, serverUrlOption } from "../../connect.js";
import type { CliContext } from "../../context.js";
import { toJson } from "../../output.js";
import { parseSandboxName } from "../../sandbox-names.js";
import { passOn } from "../../byte-output.js";
import { LogText } from "./log-text.js";

interface LogsOpts extends ServerUrlOpts {
  readonly follow?: true;
  readonly source?: "events" | "console";
}

export function logsCommand(ctx: CliContext): CliCommand {
  return new CliCommand("logs")
    .summary("show what happened to a sandbox, and its console")
    .description(
      "Show what happened to a sandbox and what its console says, also of one that has ended. Output of commands and " +
        "code is not in it.",
    )
    .argument("<name>", "name or namespace/name")
    .option("-f, --follow", "go on with what comes, until Ctrl-C")
    .addOption(new Option("--source <name>", "only one of the two").choices(["events", "console"]))
    .addOption(serverUrlOption())
    .option("--json", "print one JSON document a line")
    .example("Why it failed", "msb-ts logs lab")
    .example("What happens now", "msb-ts logs lab --follow")
    .example("Events for a program", "msb-ts logs lab --source events --json | jq .event.type")
    .action((name: string, opts: LogsOpts) => logs(ctx, name, opts));
}

async function logs(ctx: CliContext, name: string, opts: LogsOpts): Promise<void> {
  const key = parseSandboxName(name);
  const client = await connect(ctx, opts);
  const query: LogsQuery = {
    ...(opts.source === undefined ? {} : { source: [opts.source] }),
    ...(opts.follow ? { follow: true } : {}),
  };
  const text = new LogText();
  try {
    for await (const entry of client.logs(key, query, { signal: ctx.signal })) {
      await passOn(ctx, ctx.stdout, opts.json ? `${toJson(entry)}\n` : text.of(entry));
    }
  } catch (error) {
    // Ctrl-C is how following ends.
    if (!(opts.follow && ctx.signal.aborted)) throw error;
  } finally {
    if (!opts.json) ctx.stdout.write(text.end());
  }
}
