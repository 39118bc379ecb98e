/** Options that several commands have in common. */
import { Option } from "commander";

export const platformOption = (): Option =>
  new Option(
    "--platform <os/arch>",
    "for another platform than this machine's, such as linux/arm64/v8",
  );

export const quietOption = (what: string): Option => new Option("-q, --quiet", what);

/** For an option that may be given several times. */
export function collect(value: string, earlier: readonly string[] = []): string[] {
  return [...earlier, value];
}

/** Only the keys that have a value: an option that was not given is not there. */
export function given<T extends object>(
  opts: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } & {} {
  const entries = Object.entries(opts).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
