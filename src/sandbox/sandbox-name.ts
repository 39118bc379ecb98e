/** Names of sandboxes and namespaces: what is allowed, and the folders they have. The texts are part of the wire. */
import { namespaceProblem, sandboxNameProblem } from "../api/names.js";
import { MsbError } from "../errors.js";
import type { SandboxKey } from "./service.js";

const FOLDER = /^(?:[a-z0-9_-]|\+[a-z])+$/;

/** Throws MSB_ERR_INVALID_ARGUMENT with the text that clients know. */
export function checkKey({ namespace, name }: SandboxKey): void {
  const inName = sandboxNameProblem(name);
  if (inName !== null) throw invalid("sandbox", name, inName);
  const inNamespace = namespaceProblem(namespace);
  if (inNamespace !== null) throw invalid("namespace", namespace, inNamespace);
}

/** Good names only: the same text for the same sandbox, another for any other. */
export function keyText(key: SandboxKey): string {
  return `${key.namespace}/${key.name}`;
}

export function isSandboxName(name: string): boolean {
  return sandboxNameProblem(name) === null;
}

/** The folder of a good name. File systems that do not tell `A` from `a` must tell their sandboxes apart: `A` is `+a`. */
export function folderOf(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `+${letter.toLowerCase()}`);
}

/** The name whose folder this is; undefined if it is no sandbox's. */
export function nameOfFolder(folder: string): string | undefined {
  if (!FOLDER.test(folder)) return undefined;
  const name = folder.replaceAll(/\+[a-z]/g, (letter) => letter.slice(1).toUpperCase());
  return isSandboxName(name) ? name : undefined;
}

function invalid(option: string, value: string, message: string): MsbError {
  return new MsbError("MSB_ERR_INVALID_ARGUMENT", message, {
    details: { option, value: value.slice(0, 100) },
  });
}
