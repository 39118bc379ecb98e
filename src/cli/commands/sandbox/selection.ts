/** Which sandboxes a command is for: those that are named, or all. */
import type { SandboxView } from "../../../api/sandboxes.js";
import type { MsbClient } from "../../../sdk/client.js";
import { type CliCommand, UsageError } from "../../command.js";
import type { CliContext } from "../../context.js";
import { sandboxName } from "../../sandbox-names.js";

export interface SelectionOpts {
  readonly all?: true;
}

/** Throws a UsageError of `command` for names together with --all, and for neither. */
export function requireSelection(
  command: CliCommand,
  names: readonly string[],
  opts: SelectionOpts,
): void {
  if (names.length > 0 && opts.all) {
    throw new UsageError(command, "Names and --all do not go together.");
  }
  if (names.length === 0 && !opts.all) {
    throw new UsageError(command, "Give the names of sandboxes, or --all.");
  }
}

/** The names, or with --all those of the sandboxes in one of `states`. */
export async function selectedNames(
  ctx: CliContext,
  client: MsbClient,
  names: readonly string[],
  opts: SelectionOpts & { readonly states: readonly SandboxView["state"][] },
): Promise<readonly string[]> {
  if (!opts.all) return names;
  const found: string[] = [];
  const filter = { state: [...opts.states], limit: 1000 };
  for await (const sandbox of client.listSandboxes(filter, { signal: ctx.signal })) {
    found.push(sandboxName(sandbox));
  }
  return found;
}
