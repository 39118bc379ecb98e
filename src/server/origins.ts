/**
 * Which names of this server and which web pages are trusted. A browser lets any page send requests here, and a page
 * whose name its owner points to this host (DNS rebinding) even read the answers.
 */
import { isIPv6 } from "node:net";
import { isLoopbackHost } from "../util/host-port.js";

export interface OriginRules {
  /** See ServerConfig. */
  readonly allowedHosts: readonly string[];
  readonly corsOrigins: readonly string[];
  /** No keys are asked for; pages of this host may call. */
  readonly isDevMode: boolean;
}

/**
 * May a request come by this Host header? An address is never rebound, so every one is fine; a name must be loopback's
 * or listed, with its port or for every port.
 */
export function isAllowedHost(host: string, rules: Pick<OriginRules, "allowedHosts">): boolean {
  const lower = host.toLowerCase();
  const [, name] = /^(\[[^\]]*\]|[^:]+)(?::\d{1,5})?$/.exec(lower) ?? [];
  if (name === undefined) return false;
  if (isAddress(name) || isLoopbackHost(name)) return true;
  return rules.allowedHosts.some((allowed) => {
    const entry = allowed.toLowerCase();
    return entry === name || entry === lower;
  });
}

/**
 * May a page of this origin call? `host` is the request's own Host header, which must have been allowed. `null`, the
 * origin of files and of pages in a sandbox, is nobody's and allowed only with `*`.
 */
export function isAllowedOrigin(
  origin: string,
  host: string | undefined,
  rules: OriginRules,
): boolean {
  if (rules.corsOrigins.includes("*")) return true;
  const page = urlOf(origin);
  if (page === undefined) return false;
  if (rules.corsOrigins.some((allowed) => urlOf(allowed)?.origin === page.origin)) return true;
  if (host !== undefined && urlOf(`${page.protocol}//${host}`)?.host === page.host) return true;
  return rules.isDevMode && rules.corsOrigins.length === 0 && isLoopbackHost(page.host);
}

/** Four numbers, or IPv6 in brackets. What only looks like IPv4 to some parsers (`0x7f.1`) is a name. */
function isAddress(name: string): boolean {
  return /^\d+(?:\.\d+){3}$/.test(name) || (name.startsWith("[") && isIPv6(name.slice(1, -1)));
}

function urlOf(text: string): URL | undefined {
  if (!/^https?:\/\/[^/?#@\\]+$/.test(text)) return undefined;
  return URL.canParse(text) ? new URL(text) : undefined;
}
