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

  it("are a million at most", () => {
    const lines = new OutputLines();
    lines.push("stdout", "\n".repeat(999_999));
    lines.push("stderr", "\n");
    expect(() => lines.push("stdout", "\n")).toThrow(
      expect.objectContaining({ code: "MSB_ERR_OUTPUT_LIMIT" }),
    );
    expect(lines.finish()).toHaveLength(1_000_000);
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

  it("puts the unfinished line that began first in front", () => {
    expect(linesOf(["stdout", "a\n"], ["stderr", "x"], ["stdout", "y"])).toEqual([
      "o:a",
      "e:x",
      "o:y",
    ]);
  });

  it("takes a byte order mark as output like any other", () => {
    expect(linesOf(["stdout", Buffer.from("\ufeffa\n")])).toEqual(["o:\ufeffa"]);
  });

  it("gives the lines of each stream's whole text, however it was cut and whatever came between", () => {
    const bytes = fc.oneof(
      fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 6 }),
      fc.array(fc.constantFrom("a", "\n", "\r", "\r\n", "é", "").map((text) => Buffer.from(text))),
    );
    const order = fc.infiniteStream(fc.boolean());
    fc.assert(
      fc.property(bytes, bytes, order, (stdout, stderr, isStdoutNext) => {
        const left = { stdout: [...stdout], stderr: [...stderr] };
        const lines = new OutputLines();
        for (const preferred of isStdoutNext) {
          const isOver = left.stdout.length === 0 && left.stderr.length === 0;
          if (isOver) break;
          const stream = preferred ? "stdout" : "stderr";
          const piece = left[stream].shift();
          if (piece !== undefined) lines.push(stream, piece);
        }
        const all = lines.finish();
        for (const [stream, pieces] of [
          ["stdout", stdout],
          ["stderr", stderr],
        ] as const) {
          const whole = Buffer.concat(pieces).toString("utf8").split("\n");
          // The last one was not ended: its carriage return is its own.
          const rest = whole.pop();
          const got = all.filter((line) => line.stream === stream).map((line) => line.text);
          const ended = whole.map((line) => line.replace(/\r$/, ""));
          expect(got).toEqual(rest === "" ? ended : [...ended, rest]);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
