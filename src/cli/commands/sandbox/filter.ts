/** The conditions of `ps --filter`. */
import type { ListSandboxesQuery, SandboxView } from "../../../api/sandboxes.js";
import { namespaceProblem } from "../../../api/names.js";
import { SANDBOX_STATES } from "../../../sandbox/service.js";
import { type CliCommand, UsageError } from "../../command.js";
import { oneLine } from "../../format.js";

export type SandboxQuery = Pick<ListSandboxesQuery, "namespace" | "state" | "label">;

/** `earlier` with one condition more: any of the states, all of the labels. Throws a UsageError of `command`. */
export function addFilter(
  command: CliCommand,
  text: string,
  earlier: SandboxQuery = {},
): SandboxQuery {
  const equals = text.indexOf("=");
  const key = text.slice(0, Math.max(0, equals));
  const value = text.slice(equals + 1);
  if (key === "state" && isState(value)) {
    return { ...earlier, state: [...(earlier.state ?? []), value] };
  }
  if (key === "label" && /^[^=]+=/.test(value)) {
    return { ...earlier, label: [...(earlier.label ?? []), value] };
  }
  if (key === "namespace" && namespaceProblem(value) === null) {
    if (earlier.namespace === undefined || earlier.namespace === value) {
      return { ...earlier, namespace: value };
    }
    throw new UsageError(command, "--filter cannot have two namespaces.");
  }
  throw new UsageError(
    command,
    `--filter cannot be "${oneLine(text, 100)}": use state=STATE (${SANDBOX_STATES.join(", ")}), label=NAME=VALUE or ` +
      "namespace=NAMESPACE.",
  );
}

function isState(text: string): text is SandboxView["state"] {
  return (SANDBOX_STATES as readonly string[]).includes(text);
}
