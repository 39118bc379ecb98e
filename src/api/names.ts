/** What sandboxes and namespaces may be called: one rule, with the texts that clients of the old server know. */

export const MAX_NAME_LENGTH = 63;
export const DEFAULT_NAMESPACE = "default";

/** What is wrong with the name of a sandbox; null when nothing is. */
export function sandboxNameProblem(name: string): string | null {
  return nameProblem("Sandbox name", name);
}

/** What is wrong with a namespace; null when nothing is. */
export function namespaceProblem(namespace: string): string | null {
  return nameProblem("Namespace", namespace, () =>
    namespace === "*" ? "Wildcard namespace (*) is not valid for sandbox creation" : null,
  );
}

function nameProblem(
  what: string,
  name: string,
  beforeCharacters: () => string | null = () => null,
): string | null {
  if (name === "") return `${what} cannot be empty`;
  if (Buffer.byteLength(name) > MAX_NAME_LENGTH) {
    return `${what} cannot exceed ${MAX_NAME_LENGTH} characters`;
  }
  const special = beforeCharacters();
  if (special !== null) return special;
  if (!/^[A-Za-z0-9_-]+$/.test(name)) {
    return `${what} can only contain alphanumeric characters, hyphens, or underscores`;
  }
  return /^[A-Za-z0-9]/.test(name) ? null : `${what} must start with an alphanumeric character`;
}
