import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OutputLines } from "../../../src/util/output-lines.js";

function linesOf(...pieces: readonly (readonly ["stdout" | "stderr", string | Uint8Array])[]) {
  const lines = new OutputLines();
  for (const [stream, piece] of pieces) lines.push(stream, piece);
  return lines.finish().map(({ stream, text }) => `${stream === "stdout" ? "o" : "e"}:${text}`);
}

describe("OutputLines", () => {
  it.each([
    ["", []],
    ["a", ["o:a"]],
    ["a\n", ["o:a"]],
    ["a\n\nb", ["o:a", "o:", "o:b"]],
    ["\n", ["o:"]],
    ["a\r\nb\rc\n", ["o:a", "o:b\rc"]],
    ["a\r\r\n", ["o:a\r"]],
  ])("splits %j", (text, expected) => {
    expect(linesOf(["stdout", text])).toEqual(expected);
  });

  it("does not mix two streams in one line, and orders them by their ends", () => {
    expect(linesOf(["stdout", "a"], ["stderr", "e\n"], ["stdout", "b\n"])).toEqual(["e:e", "o:ab"]);
    expect(linesOf(["stderr", "e"], ["stdout", "a\nb"], ["stderr", "f"])).toEqual([
      "o:a",
      "e:ef",
      "o:b",
    ]);
    expect(linesOf(["stdout", "a"], ["stderr", "e"], ["stdout", "\nb"])).toEqual([
      "o:a",
      "e:e",
      "o:b",
    ]);
  });

  it("joins characters that came in pieces, and replaces what is none", () => {
    const bytes = Buffer.from("ä€\n");
    expect(linesOf(...[...bytes].map((byte) => ["stdout", Uint8Array.of(byte)] as const))).toEqual([
      "o:ä€",
    ]);
    expect(linesOf(["stdout", Uint8Array.of(0x61, 0xff, 0x62, 0xc3)])).toEqual([
      "o:a\ufffdb\ufffd",
    ]);
  });

  it("gives the same lines however the text is cut", () => {
    const text = fc.stringMatching(/^[ab\r\n]*$/);
    fc.assert(
      fc.property(fc.array(text), (pieces) => {
        const cut = linesOf(...pieces.map((piece) => ["stdout", piece] as const));
        expect(cut).toEqual(linesOf(["stdout", pieces.join("")]));
      }),
    );
  });
});
