import { describe, expect, it } from "vitest";
import { BetweenRuns } from "../../../src/kernel/between-runs.js";

describe("output between runs", () => {
  it("is kept in order and given once", () => {
    const between = new BetweenRuns();
    between.add("stdout", "a");
    between.add("stdout", "b");
    between.add("stderr", "c");
    expect(between.take()).toEqual([
      { type: "stdout", text: "ab" },
      { type: "stderr", text: "c" },
    ]);
    expect(between.take()).toEqual([]);
  });

  it("is cut at 64 KiB with a note of how much is missing", () => {
    const between = new BetweenRuns();
    for (let n = 0; n < 100; n++) between.add("stdout", "x".repeat(1000));
    const texts = between.take();
    expect(texts[0]?.text).toHaveLength(65_536);
    expect(texts[1]?.text).toContain("34464 more characters");
  });
});
