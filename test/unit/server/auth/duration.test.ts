import { expect, test } from "vitest";
import { DEFAULT_KEY_LIFETIME_S, parseKeyLifetime } from "../../../../src/server/auth/duration.js";

test.each([
  ["1s", 1],
  ["90m", 5400],
  ["12h", 43_200],
  ["24", DEFAULT_KEY_LIFETIME_S],
  ["30d", 2_592_000],
  ["2w", 1_209_600],
  ["1mo", 2_592_000],
  ["1y", 31_536_000],
  ["007d", 604_800],
  ["100y", 3_153_600_000],
])("%s is %i seconds", (text, seconds) => {
  expect(parseKeyLifetime(text)).toBe(seconds);
});

test.each([
  ["", /whole number and a unit/],
  ["d", /whole number/],
  ["-1d", /whole number/],
  ["1.5h", /whole number/],
  ["1 d", /whole number/],
  ["1D", /whole number/],
  ["1dd", /whole number/],
  ["1d\n", /whole number/],
  ["0", /a second at least/],
  ["101y", /more than 100 years/],
  ["999999999999y", /more than 100 years/],
  ["9".repeat(400), /whole number/],
])("%j is refused, and the message is short", (text, message) => {
  const parse = () => parseKeyLifetime(text);
  expect(parse).toThrow(message);
  expect(parse).toThrow(expect.objectContaining({ code: "MSB_ERR_INVALID_ARGUMENT" }) as Error);
  expect(parse).toThrow(/^.{1,200}$/s);
});
