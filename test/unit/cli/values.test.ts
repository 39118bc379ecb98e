import { describe, expect, it } from "vitest";
import {
  collectLabel,
  duration,
  envCollector,
  mebibytes,
  wholeNumber,
} from "../../../src/cli/values.js";

describe("a duration", () => {
  it.each([
    ["0", 0],
    ["5", 5_000],
    ["500ms", 500],
    ["1.5m", 90_000],
    ["2h", 7_200_000],
    ["1d", 86_400_000],
  ])("%s is %i ms", (text, ms) => {
    expect(duration(text)).toBe(ms);
  });

  it.each(["", "m", "-1", "5 s", "1w", "1e3", "25d", "1.2345s", "0x10"])("cannot be %j", (text) => {
    expect(() => duration(text)).toThrow("such as 90s or 10m");
  });
});

describe("an amount of memory", () => {
  it.each([
    ["512", 512],
    ["512m", 512],
    ["512MiB", 512],
    ["2g", 2_048],
    ["2GB", 2_048],
  ])("%s is %i MiB", (text, mib) => {
    expect(mebibytes(text)).toBe(mib);
  });

  it.each(["", "0", "1.5g", "512k", "5t", "-1", "4294967296", "g"])("cannot be %j", (text) => {
    expect(() => mebibytes(text)).toThrow("512m or 2g");
  });
});

describe("a number of CPUs", () => {
  it("is a whole one", () => {
    expect(wholeNumber("12")).toBe(12);
    for (const text of ["0", "1.5", "-1", "x", ""])
      expect(() => wholeNumber(text)).toThrow(/whole/);
  });
});

describe("variables", () => {
  const collect = envCollector({ HERE: "value", EMPTY: "" });

  it("are NAME=value in the order in which they came", () => {
    expect(collect("B=2=3", collect("A="))).toEqual(["A=", "B=2=3"]);
  });

  it("without a value have that of the environment, and are left out without one", () => {
    expect(["HERE", "EMPTY", "NONE"].flatMap((name) => collect(name))).toEqual([
      "HERE=value",
      "EMPTY=",
    ]);
  });

  it.each(["", "=x"])("cannot be %j", (text) => {
    expect(() => collect(text)).toThrow("NAME=value");
  });
});

describe("labels", () => {
  it("are name=value, the last of a name", () => {
    expect(collectLabel("a=3", collectLabel("b=", collectLabel("a=1=2")))).toEqual({
      a: "3",
      b: "",
    });
    for (const text of ["a", "=a", ""]) expect(() => collectLabel(text)).toThrow("name=value");
  });
});
