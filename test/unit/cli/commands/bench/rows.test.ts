import { describe, expect, it } from "vitest";
import { benchRows } from "../../../../../src/cli/commands/bench/rows.js";

const figures = {
  request: [2, 1, 9],
  command: [8, 6, 7],
  code: [4],
  firstStart: { readyMs: 3000, codeMs: 8000 },
  laterStarts: [
    { readyMs: 600, codeMs: 801.26 },
    { readyMs: 300, codeMs: 400 },
    { readyMs: 310, codeMs: 500 },
  ],
};

describe("the rows of a bench", () => {
  it("have medians, the 95th percentile and the ratio to their floor", () => {
    expect(benchRows(figures)).toEqual([
      { what: "request", p50Ms: 2, p95Ms: 9, floor: null, ratio: null },
      { what: "command", p50Ms: 7, p95Ms: 8, floor: "request", ratio: 3.5 },
      { what: "run of code", p50Ms: 4, p95Ms: 4, floor: "request", ratio: 2 },
      { what: "first start, ready", p50Ms: 3000, p95Ms: 3000, floor: null, ratio: null },
      {
        what: "first start, code has answered",
        p50Ms: 8000,
        p95Ms: 8000,
        floor: null,
        ratio: null,
      },
      {
        what: "later start, ready",
        p50Ms: 310,
        p95Ms: 600,
        floor: "first start",
        ratio: 0.103,
      },
      {
        what: "later start, code has answered",
        p50Ms: 500,
        p95Ms: 801,
        floor: "first start",
        ratio: 0.0625,
      },
    ]);
  });
});
