import { describe, expect, it } from "vitest";
import {
  age,
  count,
  displayName,
  familiar,
  oneLine,
  size,
  splitName,
} from "../../../src/cli/format.js";
import { digestOfDigit, fakeImage } from "../../helpers/fake-images.js";

describe("text of strangers", () => {
  it("becomes one line that no terminal obeys", () => {
    expect(oneLine("  a\u001b[31m\nb\tc\u009b2J\r\nd ")).toBe("a�[31m b c�2J d");
    expect(oneLine("user\u202etxt.exe")).toBe("user�txt.exe");
  });

  it("is cut where it is too long", () => {
    expect(oneLine("abcdef", 4)).toBe("abc…");
    expect(oneLine("abcd", 4)).toBe("abcd");
  });
});

describe("size", () => {
  it("has units of a thousand, and a dash for what nobody knows", () => {
    expect([0, 999, 51_234_567].map(size)).toEqual(["0 B", "999 B", "51.2 MB"]);
    expect([size(null), size(undefined)]).toEqual(["-", "-"]);
  });
});

describe("age", () => {
  const now = Date.parse("2026-06-15T12:00:00Z");

  it.each([
    ["2026-06-15T12:00:00Z", "just now"],
    ["2026-06-15T11:59:59Z", "1 second ago"],
    ["2026-06-15T11:58:59Z", "1 minute ago"],
    ["2026-06-15T10:00:01Z", "1 hour ago"],
    ["2026-06-12T12:00:00Z", "3 days ago"],
    ["2026-06-01T12:00:00Z", "2 weeks ago"],
    ["2026-03-15T12:00:00Z", "3 months ago"],
    ["1970-01-01T00:00:00Z", "56 years ago"],
    ["2026-06-15T14:00:00Z", "in 2 hours"],
    ["yesterday or so", "-"],
  ])("of %s is %s", (timestamp, words) => {
    expect(age(timestamp, now)).toBe(words);
  });

  it("of an image whose maker did not say is a dash", () => {
    expect(age(null, now)).toBe("-");
  });
});

describe("names", () => {
  it.each([
    ["docker.io/library/python:3.12", "python", "3.12"],
    ["docker.io/msb-ts/base:latest", "msb-ts/base", "latest"],
    ["127.0.0.1:5000/a/b:x", "127.0.0.1:5000/a/b", "x"],
    [`localhost:5000/a@${digestOfDigit("1")}`, "localhost:5000/a", null],
  ])("%s is split as Docker does", (canonical, repository, tag) => {
    expect(splitName(canonical)).toEqual({ repository, tag });
  });

  it("are written in short, digests kept", () => {
    expect(familiar("docker.io/library/python:3.12")).toBe("python:3.12");
    expect(familiar(`ghcr.io/a/b@${digestOfDigit("1")}`)).toBe(`ghcr.io/a/b@${digestOfDigit("1")}`);
  });

  it("stand for the image, or else its digest does", () => {
    expect(displayName(fakeImage())).toBe("python:3.12");
    expect(displayName(fakeImage({ names: [] }))).toBe("aaaaaaaaaaaa");
  });
});

describe("count", () => {
  it("knows one from many", () => {
    expect([count(1, "layer"), count(0, "layer"), count(2, "layer")]).toEqual([
      "1 layer",
      "0 layers",
      "2 layers",
    ]);
  });
});
