/** What a command has done to sandboxes: their names, or one document. */
import type { SandboxView } from "../../../api/sandboxes.js";
import type { JsonOpts } from "../../command.js";
import type { CliContext } from "../../context.js";
import { printJson, printLine } from "../../output.js";
import { sandboxName } from "../../sandbox-names.js";

/** Prints no document when nothing was done. */
export function printSandboxes(
  ctx: CliContext,
  sandboxes: readonly SandboxView[],
  opts: JsonOpts & { readonly all?: true },
): void {
  if (!opts.json) for (const sandbox of sandboxes) printLine(ctx, sandboxName(sandbox));
  else if (sandboxes.length > 0 || opts.all) printJson(ctx, sandboxes);
}
