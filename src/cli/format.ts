/** Facts as people read them. Everything here is safe to print. */
import prettyBytes from "pretty-bytes";
import { type Digest, shortDigest } from "../oci/digest.js";
import type { ImageInfo } from "../oci/image.js";
import { familiarName, parseReference } from "../oci/reference.js";
import { printable } from "../util/printable.js";

const SECOND_MS = 1000;
const DAY_MS = 24 * 3600 * SECOND_MS;
/** Each with the age from which on it is used. */
const AGE_UNITS = [
  ["year", 365 * DAY_MS],
  ["month", 30 * DAY_MS],
  ["week", 7 * DAY_MS],
  ["day", DAY_MS],
  ["hour", 3600 * SECOND_MS],
  ["minute", 60 * SECOND_MS],
  ["second", SECOND_MS],
] as const;
const SECOND = AGE_UNITS[6];
const AGE = new Intl.RelativeTimeFormat("en", { numeric: "always" });

/** What invisible characters there are that turn the direction of the text around them. */
const DIRECTION_CONTROLS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Text of strangers for one cell or one message: one line, at most `maxLength` characters. */
export function oneLine(text: string, maxLength = 2_000): string {
  const short = text.length > maxLength ? `${text.slice(0, maxLength - 1)}…` : text;
  return printable(short).replaceAll(DIRECTION_CONTROLS, "\ufffd").replaceAll(/\s+/g, " ").trim();
}

/** `12.3 MB`; a dash when nobody knows. */
export function size(bytes: number | null | undefined): string {
  return bytes === null || bytes === undefined ? "-" : prettyBytes(Math.max(0, bytes));
}

/** `3 weeks ago`; a dash for what is no date. `nowMs` as Date.now gives it. */
export function age(timestamp: string | null, nowMs: number): string {
  const sinceMs = timestamp === null ? Number.NaN : nowMs - Date.parse(timestamp);
  if (Number.isNaN(sinceMs)) return "-";
  for (const [unit, unitMs] of AGE_UNITS) {
    const units = Math.trunc(sinceMs / unitMs);
    if (units !== 0) return AGE.format(-units, unit);
  }
  return "just now";
}

/** `3 weeks` since `timestamp`; a dash for what is no date. `nowMs` as Date.now gives it. */
export function elapsed(timestamp: string | null, nowMs: number): string {
  const sinceMs = timestamp === null ? Number.NaN : nowMs - Date.parse(timestamp);
  return Number.isNaN(sinceMs) ? "-" : span(sinceMs);
}

/** `3 weeks`: in the largest unit of which there is one. */
export function span(durationMs: number): string {
  const [unit, unitMs] = AGE_UNITS.find(([, ms]) => durationMs >= ms) ?? SECOND;
  return count(Math.max(0, Math.trunc(durationMs / unitMs)), unit);
}

/** Twelve digits, or all of it with the algorithm. */
export function imageId(digest: Digest, opts: { truncate: boolean }): string {
  return opts.truncate ? shortDigest(digest) : digest;
}

/** `1 layer`, `2 layers`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

export interface SplitName {
  readonly repository: string;
  readonly tag: string | null;
}

/** A canonical name (`docker.io/library/python:3.12`) as people write it, in its two parts. */
export function splitName(canonical: string): SplitName {
  const reference = parseReference(canonical);
  const repository = familiarName({ ...reference, tag: null, digest: null });
  return { repository, tag: reference.tag };
}

/** A canonical name as people write it. */
export function familiar(canonical: string): string {
  return familiarName(parseReference(canonical));
}

/** `python:3.12`, or the short digest of an image without a name. */
export function displayName(image: ImageInfo): string {
  const [first] = image.names;
  return first === undefined ? shortDigest(image.digest) : familiar(first);
}
