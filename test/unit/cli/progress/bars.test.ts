import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ProgressBars } from "../../../../src/cli/progress/bars.js";
import type { Progress } from "../../../../src/util/progress.js";
import { keptStream } from "../../../helpers/cli.js";
import { screenOf } from "../../../helpers/screen.js";

const FRAME_MS = 200;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function bars(opts: { rows?: number } = {}) {
  const stream = keptStream({ isTerminal: true, ...opts });
  const shown = new ProgressBars(stream, Date.now);
  return {
    report: (id: string, progress: Partial<Progress>) => {
      const label = `layer ${id}`;
      shown.report({ id, label, state: "running", doneBytes: 0, totalBytes: 10e6, ...progress });
    },
    screen: (elapsedMs = FRAME_MS) => {
      vi.advanceTimersByTime(elapsedMs);
      return screenOf(stream.text());
    },
    end: () => {
      shown[Symbol.dispose]();
      return screenOf(stream.text());
    },
    text: stream.text,
    stream,
  };
}

describe("progress bars", () => {
  it("show what is under way, a row each, in the order of their start", () => {
    const { report, screen, end } = bars();
    report("one", {});
    report("two", { doneBytes: 5e6 });
    report("three", { state: "waiting" });
    expect(screen()).toEqual([
      "layer one           [>                ]   0 %  0 B of 10 MB",
      "layer two           [========>        ]  50 %  5 MB of 10 MB",
    ]);
    report("one", { doneBytes: 2e6 });
    expect(screen(2_000 - FRAME_MS)[0]).toBe(
      "layer one           [===>             ]  20 %  2 MB of 10 MB",
    );
    report("one", { doneBytes: 10e6 });
    expect(screen()[0]).toBe(
      "layer one           [=================] 100 %  10 MB of 10 MB  5 MB/s",
    );
    end();
  });

  it("leave a line for each that has ended, above those under way", () => {
    const { report, screen, end } = bars();
    report("one", {});
    report("two", {});
    report("three", {});
    screen();
    report("two", { state: "done", doneBytes: 10e6 });
    report("four", { state: "exists" });
    report("two", { state: "done", doneBytes: 10e6 });
    expect(screen()).toEqual([
      "layer two           done, 10 MB",
      "layer four          already there",
      "layer one           [>                ]   0 %  0 B of 10 MB",
      "layer three         [>                ]   0 %  0 B of 10 MB",
    ]);
    report("one", { state: "done", doneBytes: 10e6, note: "resumed" });
    report("three", { state: "done", doneBytes: 10e6 });
    expect(end()).toEqual([
      "layer two           done, 10 MB",
      "layer four          already there",
      "layer one           done, 10 MB (resumed)",
      "layer three         done, 10 MB",
    ]);
  });

  it("vanish when the work ends early, and what is printed next stands where they stood", () => {
    const { report, screen, end, stream } = bars();
    report("one", { state: "exists" });
    report("two", {});
    report("three", {});
    screen();
    expect(end()).toEqual(["layer one           already there"]);
    report("two", { doneBytes: 1 });
    stream.write("msb-ts: stopped\n");
    expect(screen()).toEqual(["layer one           already there", "msb-ts: stopped"]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("write no control character when all was there", () => {
    const { report, end, text } = bars();
    report("one", { state: "exists" });
    end();
    expect(text()).toBe("layer one           already there\n");
  });

  it("tell of a new attempt, of an unknown total, and start again after an end", () => {
    const { report, screen, end } = bars();
    report("one", { doneBytes: 5e6, state: "retrying", note: "connection reset" });
    report("disk", { totalBytes: null, doneBytes: 3e6 });
    expect(screen()).toEqual([
      "layer one            50 %  trying again: connection reset",
      "layer disk          3 MB",
    ]);
    report("disk", { totalBytes: null, doneBytes: 4e6, state: "done" });
    report("disk", { totalBytes: null, doneBytes: 1e6 });
    expect(screen()).toEqual([
      "layer disk          done, 4 MB",
      "layer one            50 %  trying again: connection reset",
      "layer disk          1 MB",
    ]);
    end();
  });

  it("need no bytes", () => {
    const { report, screen, end } = bars();
    const step = { totalBytes: null, doneBytes: 0 };
    report("one", step);
    expect(screen()).toEqual(["layer one"]);
    report("one", { ...step, note: "Unpacking a" });
    expect(screen()).toEqual(["layer one           Unpacking a"]);
    report("one", { ...step, state: "done" });
    expect(end()).toEqual(["layer one           done"]);
  });

  it("never need more rows than there are; the others follow", () => {
    const { report, screen, end } = bars({ rows: 6 });
    const ids = ["a", "b", "c", "d", "e", "f"];
    for (const id of ids) report(id, {});
    expect(screen()).toHaveLength(4);
    report("a", { state: "done" });
    for (const id of ids.slice(1)) report(id, { doneBytes: 1e6 });
    expect(screen().map((line) => line.split(" ")[1])).toEqual(["a", "b", "c", "d", "e"]);
    end();
  });

  it("change no state of the terminal that would have to be restored", () => {
    const { report, screen, end, text } = bars();
    report("one", {});
    screen();
    report("one", { state: "done" });
    end();
    for (const state of ["\u001b[?", "\u001b7", "\u001b8"]) expect(text()).not.toContain(state);
  });

  it("obey no label and no note", () => {
    const { report, screen, end } = bars();
    report("\u001b[2J\n", { note: "\u009b2J" });
    expect(screen()).toEqual([
      "layer �[2J          [>                ]   0 %  0 B of 10 MB  (�2J)",
    ]);
    end();
  });

  it("have room for the longest numbers beside a long label", () => {
    const { report, screen, end } = bars();
    const label = "127.0.0.1:5000/team/app:v1.2";
    report("one", { label, totalBytes: 999e6 });
    vi.advanceTimersByTime(10_000);
    report("one", { label, totalBytes: 999e6, doneBytes: 998e6 });
    expect(screen()).toEqual([`${label}  [=======>]  99 %  998 MB of 999 MB  99.8 MB/s`]);
    end();
  });

  it("fit a narrow terminal, also after it was made narrower", () => {
    const { report, end, stream } = bars();
    report("one", {});
    vi.advanceTimersByTime(FRAME_MS);
    const before = stream.text().length;
    stream.columns = 20;
    report("one", { doneBytes: 1 });
    vi.advanceTimersByTime(FRAME_MS);
    expect(stream.text().slice(before)).toContain(`${"layer one".padEnd(18)}…`);
    end();
  });
});
