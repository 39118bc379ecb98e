/** Which namespaces a key may use: one rule for JSON-RPC, REST and MCP. */
import { MsbError } from "../errors.js";
import { ANY_NAMESPACE, type Principal } from "./auth/authenticator.js";

/** `*` itself only for keys of all namespaces. */
export function mayUseNamespace(principal: Principal, namespace: string): boolean {
  return principal.namespace === ANY_NAMESPACE || principal.namespace === namespace;
}

/** Throws MSB_ERR_ACCESS_DENIED. */
export function requireNamespace(principal: Principal, namespace: string): void {
  if (mayUseNamespace(principal, namespace)) return;
  throw new MsbError(
    "MSB_ERR_ACCESS_DENIED",
    `The key is for namespace ${principal.namespace}, not for ${JSON.stringify(namespace.slice(0, 64))}. ` +
      "Use a key of that namespace, or one for all (*).",
    { details: { namespace: principal.namespace } },
  );
}

/** For what concerns all namespaces. `what` begins the message. Throws MSB_ERR_ACCESS_DENIED. */
export function requireAnyNamespace(principal: Principal, what: string): void {
  if (principal.namespace === ANY_NAMESPACE) return;
  throw new MsbError(
    "MSB_ERR_ACCESS_DENIED",
    `${what} needs a key for all namespaces (*), and this one is for ${principal.namespace}.`,
    { details: { namespace: principal.namespace } },
  );
}

/** The namespace to look at when one was or was not asked for; undefined for all. Throws MSB_ERR_ACCESS_DENIED. */
export function visibleNamespace(
  principal: Principal,
  asked: string | undefined,
): string | undefined {
  if (asked !== undefined) requireNamespace(principal, asked);
  if (asked !== undefined || principal.namespace === ANY_NAMESPACE) return asked;
  return principal.namespace;
}
