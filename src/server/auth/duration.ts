/** How long a key is valid, as `keygen --expire` takes it. */
import { MsbError } from "../../errors.js";

const HOUR = 3600;
const DAY = 24 * HOUR;

/** In seconds. A month has 30 days, a year 365. */
const UNITS = {
  s: 1,
  m: 60,
  h: HOUR,
  d: DAY,
  w: 7 * DAY,
  mo: 30 * DAY,
  y: 365 * DAY,
} as const;

export const DEFAULT_KEY_LIFETIME_S = DAY;
const MAX_YEARS = 100;

/** Seconds of `90m`, `12h`, `30d`, `6mo`, `1y`; a number alone is hours. Throws MSB_ERR_INVALID_ARGUMENT. */
export function parseKeyLifetime(text: string): number {
  const [, number, unit = "h"] = /^(\d{1,12})(s|m|h|d|w|mo|y)?$/.exec(text) ?? [];
  if (number === undefined) {
    throw invalid(text, "use a whole number and a unit of s, m, h, d, w, mo, y, such as 30d");
  }
  const seconds = Number(number) * UNITS[unit as keyof typeof UNITS];
  if (seconds < 1) throw invalid(text, "a key must be valid for a second at least");
  if (seconds > MAX_YEARS * UNITS.y) {
    throw invalid(text, `a key cannot be valid for more than ${MAX_YEARS} years`);
  }
  return seconds;
}

function invalid(value: string, advice: string): MsbError {
  return new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    `The lifetime of a key cannot be ${JSON.stringify(value.slice(0, 40))}: ${advice}.`,
    { details: { option: "expire", value: value.slice(0, 40) } },
  );
}
