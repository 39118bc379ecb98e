/** Names of sandboxes and namespaces: what is allowed, and the folders they have. The texts are part of the wire. */
import { MsbError } from "../errors.js";
import type { SandboxKey } from "./service.js";

const MAX_BYTES = 63;
const FOLDER = /^(?:[a-z0-9_-]|\+[a-z])+$/;

/** Throws MSB_ERR_INVALID_ARGUMENT with the text that clients know. */
export function checkSandboxName(name: string): void {
  const problem = nameProblem(name, "Sandbox name");
  if (problem !== undefined) throw invalid("sandbox", name, problem);
}

/** `*` for all namespaces is only good for reading. Throws as `checkSandboxName`. */
export function checkNamespace(
  namespace: string,
  opts: { readonly wildcard: "allowed" | "refused" } = { wildcard: "refused" },
): void {
  if (namespace === "*") {
    if (opts.wildcard === "allowed") return;
    const text = "Wildcard namespace (*) is not valid for sandbox creation";
    throw invalid("namespace", namespace, text);
  }
  const problem = nameProblem(namespace, "Namespace");
  if (problem !== undefined) throw invalid("namespace", namespace, problem);
}

/** Throws as `checkSandboxName`. */
export function checkKey(key: SandboxKey): void {
  checkSandboxName(key.name);
  checkNamespace(key.namespace);
}

/** Good names only: the same text for the same sandbox, another for any other. */
export function keyText(key: SandboxKey): string {
  return `${key.namespace}/${key.name}`;
}

export function isSandboxName(name: string): boolean {
  return nameProblem(name, "") === undefined;
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

function nameProblem(name: string, what: string): string | undefined {
  if (name === "") return `${what} cannot be empty`;
  if (Buffer.byteLength(name) > MAX_BYTES) return `${what} cannot exceed ${MAX_BYTES} characters`;
  if (!/^[A-Za-z0-9_-]+$/.test(name)) {
    return `${what} can only contain alphanumeric characters, hyphens, or underscores`;
  }
  if (!/^[A-Za-z0-9]/.test(name)) return `${what} must start with an alphanumeric character`;
  return undefined;
}

function invalid(option: string, value: string, message: string): MsbError {
  return new MsbError("MSB_ERR_INVALID_ARGUMENT", message, {
    details: { option, value: value.slice(0, 100) },
  });
}
