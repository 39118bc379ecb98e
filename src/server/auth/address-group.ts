/** Which addresses are likely one and the same caller. */
import { isIPv4, isIPv6 } from "node:net";

/**
 * An IPv4 address itself, also when it comes as IPv6 (`::ffff:…`); of an IPv6 address its first 64 bits, because a
 * single host has all addresses behind them.
 */
export function addressGroup(address: string): string {
  const plain = address.replace(/%.*$/, "").toLowerCase();
  const mapped = plain.replace(/^::ffff:(?=\d+\.)/, "");
  if (isIPv4(mapped)) return mapped;
  if (!isIPv6(plain)) return "unknown";
  const [head = "", tail] = plain.split("::");
  const first = head === "" ? [] : head.split(":");
  const last = tail === undefined || tail === "" ? [] : tail.split(":");
  // A dotted end stands for two groups.
  const zeros = 8 - first.length - last.length - (plain.includes(".") ? 1 : 0);
  const groups = tail === undefined ? first : [...first, ...Array(zeros).fill("0"), ...last];
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":")}::/64`;
}
