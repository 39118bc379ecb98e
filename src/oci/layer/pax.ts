/**
 * Extended headers of pax archives (POSIX.1-2017, pax, "pax Extended Header"): records `<length> <key>=<value>\n`.
 * Read as bytes: values hold names that are not UTF-8 and capabilities with zero bytes, which the tar package's
 * own reader of these headers cuts or changes.
 */

/** Far above what names and 64 KiB of attributes need. */
export const MAX_PAX_BYTES = 1024 ** 2;

/** Key and value as byte strings: one character a byte. */
export type PaxRecord = readonly [key: string, value: string];

/** The records in their order; keys may repeat. Throws RangeError for what is not a sequence of records. */
export function parsePax(bytes: Buffer): PaxRecord[] {
  const records: PaxRecord[] = [];
  let at = 0;
  while (at < bytes.length) {
    const space = bytes.indexOf(0x20, at);
    const digits = space < 0 ? "" : bytes.toString("latin1", at, space);
    const end = at + Number(digits);
    if (!/^[1-9]\d{0,6}$/.test(digits) || end > bytes.length || bytes[end - 1] !== 0x0a) {
      throw new RangeError("an extended header has a record of a wrong length");
    }
    const equals = bytes.indexOf(0x3d, space + 1);
    if (equals < 0 || equals >= end) {
      throw new RangeError("an extended header has a record without a key");
    }
    records.push([
      bytes.toString("latin1", space + 1, equals),
      bytes.toString("latin1", equals + 1, end - 1),
    ]);
    at = end;
  }
  return records;
}

/** Seconds since 1970 with a fraction, as pax writes times. Throws RangeError. */
export function parsePaxTime(text: string): { seconds: bigint; nanoseconds: number } {
  const [, sign, whole, fraction = ""] = /^(-?)(\d{1,18})(?:\.(\d*))?$/.exec(text) ?? [];
  if (whole === undefined) throw new RangeError("an extended header has a time that is none");
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, "0"));
  const seconds = BigInt(whole);
  if (sign !== "-") return { seconds, nanoseconds };
  return nanoseconds === 0
    ? { seconds: -seconds, nanoseconds: 0 }
    : { seconds: -seconds - 1n, nanoseconds: 1_000_000_000 - nanoseconds };
}

/** A whole number of decimal digits. Throws RangeError. */
export function parsePaxNumber(text: string): number {
  const number = Number(text);
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(number)) {
    throw new RangeError("an extended header has a number that is none");
  }
  return number;
}
