/** Sandboxes as they are named on the command line: `name`, or `namespace/name`. */
import { DEFAULT_NAMESPACE, namespaceProblem, sandboxNameProblem } from "../api/names.js";
import type { SandboxParams } from "../api/sandboxes.js";
import { MsbError } from "../errors.js";
import { oneLine } from "./format.js";

/** Throws MSB_ERR_INVALID_ARGUMENT. */
export function parseSandboxName(text: string): SandboxParams {
  const { namespace = DEFAULT_NAMESPACE, name } = splitSandboxName(text);
  return { namespace, name };
}

/** The same for a name in whose namespace the server may have a say. */
export function splitSandboxName(text: string): { namespace?: string; name: string } {
  const slash = text.indexOf("/");
  const name = text.slice(slash + 1);
  const namespace = slash === -1 ? undefined : text.slice(0, slash);
  const problem =
    (namespace === undefined ? null : namespaceProblem(namespace)) ?? sandboxNameProblem(name);
  if (problem === null) return namespace === undefined ? { name } : { namespace, name };
  throw new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    `A sandbox cannot be called "${oneLine(text, 150)}": ${problem.charAt(0).toLowerCase()}${problem.slice(1)}. ` +
      "Use name, or namespace/name.",
    { details: { name: text.slice(0, 150) } },
  );
}

/** What `parseSandboxName` takes. */
export function sandboxName({ namespace, name }: SandboxParams): string {
  return oneLine(namespace === DEFAULT_NAMESPACE ? name : `${namespace}/${name}`, 150);
}
