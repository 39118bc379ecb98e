import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Channel } from "../../../src/agent/frame.js";
import { linesOf } from "../../../src/sandbox/output-lines.js";

const out = (data: string | Buffer) => ({
  channel: Channel.stdout,
  data: Buffer.from(data as string),
});
const err = (data: string | Buffer) => ({
  channel: Channel.stderr,
  data: Buffer.from(data as string),
});
const shown = (chunks: Parameters<typeof linesOf>[0]): string[] =>
  linesOf(chunks).map(({ stream, text }) => `${stream === "stdout" ? "o" : "e"} ${text}`);

describe("lines", () => {
  it("end at a line feed, with at most one carriage return before it", () => {
    expect(shown([out("a\r\nb\r\r\n\n"), out("c\rd\n")])).toEqual(["o a", "o b\r", "o ", "o c\rd"]);
  });

  it("that nothing ended are lines, too", () => {
    expect(shown([out("a\nb"), err("c")])).toEqual(["o a", "o b", "e c"]);
    expect(shown([err("c"), out("a\nb")])).toEqual(["o a", "e c", "o b"]);
    expect(shown([])).toEqual([]);
  });

  it("of one stream are not broken by the other", () => {
    expect(shown([out("one "), err("warn\n"), out("line\n")])).toEqual(["e warn", "o one line"]);
  });

  it("keep characters whole over chunks, each stream its own", () => {
    const [first, rest] = [Buffer.from("é").subarray(0, 1), Buffer.from("é").subarray(1)];
    expect(shown([out(first), err(first), out(rest), err("\n")])).toEqual(["e \ufffd", "o é"]);
    expect(shown([out(first)])).toEqual(["o \ufffd"]);
    expect(shown([out("\ufeffa\n")])).toEqual(["o \ufeffa"]);
  });

  /** Cuts bytes anywhere. */
  const pieces = fc
    .tuple(fc.uint8Array({ maxLength: 60 }), fc.array(fc.nat(60), { maxLength: 6 }))
    .map(([bytes, cuts]) => {
      const at = [
        0,
        ...cuts.filter((cut) => cut < bytes.length).toSorted((a, b) => a - b),
        bytes.length,
      ];
      return at.slice(1).map((end, i) => Buffer.from(bytes.subarray(at[i], end)));
    });
  const bytes = fc.oneof(
    pieces,
    fc.array(fc.constantFrom("a", "\n", "\r", "\r\n", "é", "").map((s) => Buffer.from(s))),
  );

  it("of a stream are those of its whole text, however it was cut and whatever came between", () => {
    fc.assert(
      fc.property(bytes, bytes, fc.infiniteStream(fc.boolean()), (stdout, stderr, order) => {
        const chunks = [];
        const [o, e] = [[...stdout], [...stderr]];
        for (const isOut of order) {
          if (o.length === 0 && e.length === 0) break;
          const next =
            (isOut && o.length > 0) || e.length === 0 ? out(o.shift()!) : err(e.shift()!);
          chunks.push(next);
        }
        const lines = linesOf(chunks);
        for (const [stream, all] of [
          ["stdout", stdout],
          ["stderr", stderr],
        ] as const) {
          const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(Buffer.concat(all));
          const whole = text.split("\n");
          if (whole.at(-1) === "") whole.pop();
          const got = lines.filter((line) => line.stream === stream).map((line) => line.text);
          expect(got).toEqual(whole.map((line) => line.replace(/\r$/, "")));
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
