import { describe, expect, it } from "vitest";
import { isIncompleteNode } from "../../../../src/cli/repl/incomplete-node.js";

describe("JavaScript that goes on", () => {
  it.each([
    "function f() {",
    "f(",
    "f(1",
    "f(g(1,\n2",
    "[1, 2,",
    "({ a: 1",
    "`one\ntwo",
    "`a ${",
    "await f(",
    "x =",
    "a.",
    "if (x) {\n  y();",
    "if (x)",
    "class A {",
    "for (const x of y",
    "() =>",
    "/* one",
    "f(1, /* one",
    "x; /* one */ y; /* two",
    "try {\n  x\n} catch {",
  ])("%j", (text) => {
    expect(isIncompleteNode(text)).toBe(true);
  });
});

describe("JavaScript that is complete, or wrong whatever comes", () => {
  it.each([
    "",
    "1 + 1",
    "await f()",
    "const x = { a: 1 }",
    "function f() {\n  return 1;\n}",
    "`a ${b} c`",
    "// f(",
    "/* one */",
    "'/*'",
    "'open",
    "a b",
    "f(1 2)",
    "}",
    "})",
    "import x from 'y'",
    "else",
    "/re",
  ])("%j", (text) => {
    expect(isIncompleteNode(text)).toBe(false);
  });
});
