/** `host[:port]` as registries are named (the grammar of github.com/distribution/reference), and which hosts are this one. */
import { isIPv4, isIPv6 } from "node:net";

/** The longest name of DNS, brackets of IPv6, colon and port. */
const MAX_LENGTH = 253 + 8;
const NAME =
  /^[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*$/;

/** True for `registry.example`, `127.0.0.1:5000`, `[::1]:5000`; not for a URL or a path. */
export function isHostPort(text: string): boolean {
  if (text.length > MAX_LENGTH) return false;
  const [, host, port] = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (host === undefined) return false;
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return false;
  return host.startsWith("[") ? isIPv6(host.slice(1, -1)) && !host.includes("%") : NAME.test(host);
}

/** `127.0.0.1:5555`, `[::1]:5555`. */
export function hostPort(address: string, port: number): string {
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
}

/**
 * Does this name a host that is never reached over a wire? `host` may have a port and brackets. Only what no DNS
 * server is asked about counts: `localhost` (RFC 6761), 127.0.0.0/8, ::1.
 */
export function isLoopbackHost(host: string): boolean {
  const name = isIPv6(host) ? host : host.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  if (name.toLowerCase() === "localhost") return true;
  if (isIPv4(name)) return name.startsWith("127.");
  return isIPv6(name) && new URL(`http://[${name}]`).hostname === "[::1]";
}
