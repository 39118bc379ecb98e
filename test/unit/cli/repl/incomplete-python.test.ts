import { describe, expect, it } from "vitest";
import { isIncompletePython } from "../../../../src/cli/repl/incomplete-python.js";

describe("Python that goes on", () => {
  it.each([
    "f(",
    "x = [1,\n2",
    "{'a': 1,",
    "'''one\ntwo",
    'x = """',
    "1 + \\",
    "'open \\",
    "if x:",
    "if x:  # a comment",
    "def f():\n  return 1",
    "for i in x:\n  g(i)\n  h(i)",
    "@decorator",
    "@decorator\ndef f(): pass",
    "class A:\n\n  def f(self):\n    g(1,",
    "x = ')'\nif x:",
    "# (\nif x:",
    "if x: pass\nelse:",
    "f('''\n'''",
  ])("%j", (text) => {
    expect(isIncompletePython(text)).toBe(true);
  });
});

describe("Python that is complete", () => {
  it.each([
    "",
    "1 + 1",
    "f(1)\n",
    "x = [1,\n2]",
    "'''one\ntwo'''",
    "1 + \\\n2",
    "'open",
    "x = 'a:'",
    "# if x:",
    "x[1:]",
    "{'a': 1}",
    "if x: pass",
    "f(lambda a: a)",
    "if x:\n  y\n",
    "if x:\n  y\n   ",
    "def f():\n  '''doc:'''\n  return 1\n",
    ")",
    "print('a' 'b\\'')",
    "r'\\'",
    "a @ b",
  ])("%j", (text) => {
    expect(isIncompletePython(text)).toBe(false);
  });
});
