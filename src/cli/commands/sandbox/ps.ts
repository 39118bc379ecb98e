/** `msb-ts ps`. */
import type { SandboxView } from "../../../api/sandboxes.js";
import { CliCommand } from "../../command.js";
import { connect, type ServerUrlOpts, serverUrlOption } from "../../connect.js";
import type { CliContext } from "../../context.js";
import { elapsed, oneLine } from "../../format.js";
import { printJson, printLine, printTable } from "../../output.js";
import { sandboxName } from "../../sandbox-names.js";
import { quietOption } from "../image/options.js";
import { addFilter, type SandboxQuery } from "./filter.js";

interface PsOpts extends ServerUrlOpts {
  readonly all?: true;
  readonly filter?: SandboxQuery;
  readonly quiet?: true;
}

const HEAD = ["NAME", "IMAGE", "STATE", "UP", "MEMORY", "CPUS", "DRIVER"];
const PAGE = 1000;
const MAX_IMAGE = 60;

export function psCommand(ctx: CliContext): CliCommand {
  const command = new CliCommand("ps");
  return command
    .summary("list sandboxes")
    .description("List the sandboxes that run, or with --all or a state to filter by also others.")
    .option("-a, --all", "in every state")
    .option(
      "-f, --filter <condition>",
      "only what fulfils it: state=STATE, label=NAME=VALUE, namespace=NAMESPACE; may be repeated",
      (text: string, earlier?: SandboxQuery) => addFilter(command, text, earlier),
    )
    .addOption(quietOption("print names only"))
    .addOption(serverUrlOption())
    .jsonOption()
    .example("What runs", "msb-ts ps")
    .example("What failed", "msb-ts ps --filter state=failed")
    .example("Stop those with a label", "msb-ts stop $(msb-ts ps -q --filter label=job=42)")
    .action((opts: PsOpts) => ps(ctx, opts));
}

async function ps(ctx: CliContext, opts: PsOpts): Promise<void> {
  const client = await connect(ctx, opts);
  const states: Pick<SandboxQuery, "state"> = opts.all ? {} : { state: ["running"] };
  const query = { ...states, ...opts.filter, limit: PAGE };
  const found: SandboxView[] = [];
  for await (const sandbox of client.listSandboxes(query, { signal: ctx.signal })) {
    found.push(sandbox);
  }
  if (opts.json) return printJson(ctx, found);
  if (opts.quiet) {
    for (const sandbox of found) printLine(ctx, sandboxName(sandbox));
    return;
  }
  printTable(
    ctx,
    HEAD,
    found.map((sandbox) => rowOf(sandbox, ctx.now())),
  );
}

function rowOf(sandbox: SandboxView, nowMs: number): string[] {
  const { spec, state, vm, startedAt } = sandbox;
  return [
    sandboxName(sandbox),
    oneLine(spec.image, MAX_IMAGE),
    oneLine(state, 20),
    state === "running" ? elapsed(startedAt, nowMs) : "-",
    `${spec.memoryMiB} MiB`,
    String(spec.cpus),
    vm === null ? "-" : oneLine(vm.driver, 20),
  ];
}
