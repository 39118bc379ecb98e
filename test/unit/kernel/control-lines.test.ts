import { describe, expect, it } from "vitest";
import { ControlLines } from "../../../src/kernel/control-lines.js";

function linesOf(pieces: readonly string[], maxLineBytes?: number): string[] {
  const lines = new ControlLines(maxLineBytes);
  const seen: string[] = [];
  for (const piece of pieces) {
    lines.push(Buffer.from(piece), (line) => seen.push(line.toString()));
  }
  return seen;
}

describe("control lines", () => {
  it.each([
    ["whole", ["\na\n\nbc\n"], ["a", "bc"]],
    ["byte by byte", [..."\nab\n\ncd\n"], ["ab", "cd"]],
    ["not ended", ["a\nb"], ["a"]],
  ])("are cut at line feeds: %s", (_name, pieces, expected) => {
    expect(linesOf(pieces)).toEqual(expected);
  });

  it("are dropped when too long, in one piece or in many, and the next is whole", () => {
    expect(linesOf(["x".repeat(11), "\nnext\n"], 10)).toEqual(["next"]);
    expect(linesOf([`${"x".repeat(11)}\n0123456789\n`], 10)).toEqual(["0123456789"]);
    expect(linesOf([..."x".repeat(30), "\n", "next\n"], 10)).toEqual(["next"]);
  });
});
