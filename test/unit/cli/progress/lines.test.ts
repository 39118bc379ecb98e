import { describe, expect, it } from "vitest";
import { ProgressLines } from "../../../../src/cli/progress/lines.js";
import type { Progress } from "../../../../src/util/progress.js";
import { keptStream } from "../../../helpers/cli.js";

const LAYER = { id: "layer sha256:1", label: "layer 111111", totalBytes: 100e6 } as const;

/** Reports each step at its second, and gives the lines. */
function linesOf(
  steps: readonly (readonly [seconds: number, progress: Partial<Progress>])[],
): string[] {
  const stream = keptStream();
  let nowMs = 0;
  const lines = new ProgressLines(stream, () => nowMs);
  for (const [seconds, progress] of steps) {
    nowMs = seconds * 1000;
    lines.report({ ...LAYER, state: "running", doneBytes: 0, ...progress });
  }
  return stream.text().split("\n").slice(0, -1);
}

describe("progress lines", () => {
  it("tell of start and end", () => {
    expect(
      linesOf([
        [0, { state: "waiting" }],
        [1, {}],
        [2, { doneBytes: 50e6 }],
        [3, { doneBytes: 100e6 }],
        [4, { state: "done", doneBytes: 100e6 }],
        [4, { state: "done", doneBytes: 100e6 }],
      ]),
    ).toEqual(["layer 111111: started, 100 MB", "layer 111111: done, 100 MB"]);
  });

  it("come at most every ten seconds and every ten percent in between", () => {
    const steps = Array.from(
      { length: 101 },
      (_, second) => [second, { doneBytes: second * 1e6 }] as const,
    );
    const lines = linesOf(steps);
    expect(lines).toHaveLength(11);
    expect(lines[1]).toBe("layer 111111: 10 %, 10 MB of 100 MB");
    expect(linesOf(steps.map(([second, progress]) => [second / 10, progress])).length).toBe(2);
  });

  it("give a sign of life once a minute however slow it is", () => {
    const steps = Array.from(
      { length: 121 },
      (_, second) => [second, { doneBytes: second }] as const,
    );
    expect(linesOf(steps)).toHaveLength(3);
  });

  it("need no total", () => {
    expect(
      linesOf([
        [0, { totalBytes: null }],
        [11, { totalBytes: null, doneBytes: 5e6 }],
        [12, { totalBytes: null, doneBytes: 7e6, state: "done", note: "reproducible" }],
      ]),
    ).toEqual([
      "layer 111111: started",
      "layer 111111: 5 MB",
      "layer 111111: done, 7 MB (reproducible)",
    ]);
  });

  it("need no bytes", () => {
    const step = { totalBytes: null, doneBytes: 0 };
    expect(
      linesOf([
        [0, { ...step, note: "Unpacking a" }],
        [5, { ...step, note: "Unpacking b" }],
        [10, { ...step, note: "Setting up a" }],
        [20, step],
        [21, { ...step, state: "done" }],
      ]),
    ).toEqual([
      "layer 111111: Unpacking a",
      "layer 111111: Setting up a",
      "layer 111111: still at it",
      "layer 111111: done",
    ]);
  });

  it("tell of what was there, and of every new reason to try again", () => {
    expect(linesOf([[0, { state: "exists" }]])).toEqual(["layer 111111: already there"]);
    const note = "connection reset";
    expect(
      linesOf([
        [0, {}],
        [1, { state: "retrying", note }],
        [1, { state: "retrying", note }],
        [2, {}],
        [3, { state: "retrying" }],
        [4, { state: "done" }],
        [5, {}],
      ]),
    ).toEqual([
      "layer 111111: started, 100 MB",
      "layer 111111: trying again: connection reset",
      "layer 111111: trying again",
      "layer 111111: done, 100 MB",
      "layer 111111: started, 100 MB",
    ]);
  });

  it("have nothing that a terminal obeys, and end when they are disposed of", () => {
    const stream = keptStream();
    const lines = new ProgressLines(stream, () => 0);
    lines.report({
      ...LAYER,
      label: "a\u001b[2J\nb",
      state: "retrying",
      doneBytes: 0,
      note: "\u009b",
    });
    lines[Symbol.dispose]();
    lines.report({ ...LAYER, state: "done", doneBytes: 0 });
    expect(stream.text()).toBe("a�[2J b: trying again: �\n");
  });
});
