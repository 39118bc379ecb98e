import { relative, resolve } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { msbPaths } from "../../../src/paths.js";
import {
  checkKey,
  folderOf,
  isSandboxName,
  nameOfFolder,
} from "../../../src/sandbox/sandbox-name.js";

const textOf = (check: () => void): string => {
  try {
    check();
    return "ok";
  } catch (error) {
    return (error as Error).message;
  }
};

describe("names", () => {
  it.each([
    ["", "cannot be empty"],
    ["a".repeat(64), "cannot exceed 63 characters"],
    ["é".repeat(32), "cannot exceed 63 characters"],
    ["a/b", "can only contain alphanumeric characters, hyphens, or underscores"],
    ["..", "can only contain alphanumeric characters, hyphens, or underscores"],
    ["a\n", "can only contain alphanumeric characters, hyphens, or underscores"],
    ["_a", "must start with an alphanumeric character"],
  ])("%j are refused with the text that clients know", (name, text) => {
    expect(textOf(() => checkKey({ namespace: "ok", name }))).toBe(`Sandbox name ${text}`);
    expect(textOf(() => checkKey({ namespace: name, name: "ok" }))).toBe(`Namespace ${text}`);
  });

  it("of all namespaces are no namespace of a sandbox", () => {
    expect(textOf(() => checkKey({ namespace: "*", name: "ok" }))).toBe(
      "Wildcard namespace (*) is not valid for sandbox creation",
    );
    expect(textOf(() => checkKey({ namespace: "ok", name: "*" }))).toMatch(/can only contain/);
  });

  it("of 63 characters are fine", () => {
    expect(textOf(() => checkKey({ namespace: "ok", name: `A${"z".repeat(62)}` }))).toBe("ok");
  });

  const goodName = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/);
  const anyName = fc.oneof(
    fc.string({ unit: "binary", maxLength: 80 }),
    fc.stringMatching(/^[A-Za-z0-9_.+/*-]{0,66}$/),
  );

  it("that are good have a folder below the root, one each, also where case does not count", () => {
    const { sandboxRoot, sandbox } = msbPaths("/home/x");
    fc.assert(
      fc.property(goodName, goodName, (one, other) => {
        expect([isSandboxName(one), isSandboxName(other)]).toEqual([true, true]);
        const { dir } = sandbox(folderOf(one), folderOf(other));
        expect(resolve(dir)).toBe(dir);
        expect(relative(sandboxRoot, dir).split("/")).toHaveLength(2);
        expect(nameOfFolder(folderOf(one))).toBe(one);
        const areSame = folderOf(one).toLowerCase() === folderOf(other).toLowerCase();
        expect(areSame).toBe(one === other);
      }),
      { numRuns: 500 },
    );
  });

  it("are nothing else", () => {
    fc.assert(
      fc.property(anyName, (name) => {
        expect(isSandboxName(name)).toBe(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$(?!\n)/.test(name));
      }),
      { numRuns: 2_000 },
    );
  });

  it("are read from folders that they would have, and from no others", () => {
    fc.assert(
      fc.property(anyName, (folder) => {
        const name = nameOfFolder(folder);
        expect(name === undefined ? folder : folderOf(name)).toBe(folder);
      }),
      { numRuns: 2_000 },
    );
    expect(nameOfFolder("box.broken-1")).toBeUndefined();
    expect(nameOfFolder("Box")).toBeUndefined();
  });
});
