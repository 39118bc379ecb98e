/** Durations, sizes and pairs as they are written on a command line. All throw what the library shows as a usage error. */
import { InvalidArgumentError } from "commander";
import type { Env } from "../config.js";

const DURATION_UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
/** What timers can wait for. */
const MAX_DURATION_MS = 2 ** 31 - 1;
const MIB_PER_GIB = 1024;
const MAX_MIB = 2 ** 32 - 1;

/** Milliseconds of `500ms`, `10s`, `1.5m`, `2h`, `1d`; a number alone is seconds. */
export function duration(text: string): number {
  const [, number, unit = "s"] = /^(\d{1,10}(?:\.\d{1,3})?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  const ms = Math.round(Number(number) * DURATION_UNITS_MS[unit as keyof typeof DURATION_UNITS_MS]);
  if (ms <= MAX_DURATION_MS) return ms;
  throw new InvalidArgumentError(
    "Use a number and a unit of ms, s, m, h, d, such as 90s or 10m, 24d at most.",
  );
}

/** MiB of `512`, `512m`, `2g`, `2GiB`. */
export function mebibytes(text: string): number {
  const [, number, unit = "m"] = /^(\d{1,10})(m|g)?(?:i?b)?$/i.exec(text) ?? [];
  const mib = Number(number) * (unit.toLowerCase() === "g" ? MIB_PER_GIB : 1);
  if (mib >= 1 && mib <= MAX_MIB) return mib;
  throw new InvalidArgumentError(
    "Use a whole number of MiB, or one with a unit, such as 512m or 2g.",
  );
}

export function wholeNumber(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Use a whole number from 1.");
}

/** Collects `NAME=value`; a NAME alone takes its value from `env`, and is left out when it has none. */
export function envCollector(env: Env): (text: string, earlier?: readonly string[]) => string[] {
  return (text, earlier = []) => {
    if (/^[^=]+=/.test(text)) return [...earlier, text];
    if (text === "" || text.includes("="))
      throw new InvalidArgumentError("Use NAME=value, or NAME alone.");
    const value = env[text];
    return value === undefined ? [...earlier] : [...earlier, `${text}=${value}`];
  };
}

/** Collects `name=value`; of the same name the last counts. */
export function collectLabel(
  text: string,
  earlier: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined) throw new InvalidArgumentError("Use name=value.");
  return { ...earlier, [name]: value ?? "" };
}
