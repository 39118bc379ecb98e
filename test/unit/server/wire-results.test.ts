import { describe, expect, it, test } from "vitest";
import type { RunEvent } from "../../../src/kernel/run-types.js";
import { OutputLines } from "../../../src/server/output-lines.js";
import {
  commandResult,
  metricsResult,
  replResult,
  startText,
  stopText,
} from "../../../src/server/wire-results.js";
import { sandboxMetrics } from "../../helpers/scripted-sandboxes.js";

const stdout = (text: string) => ({ stream: "stdout", text });
const stderr = (text: string) => ({ stream: "stderr", text });

describe("output as lines", () => {
  const linesOf = (...pieces: [("stdout" | "stderr")?, string?][]) => {
    const lines = new OutputLines();
    for (const [stream = "stdout", text = ""] of pieces) lines.push(stream, text);
    return lines.end();
  };

  it("is split at line feeds, however it comes", () => {
    expect(linesOf(["stdout", "a\n\nb"])).toEqual([stdout("a"), stdout(""), stdout("b")]);
    expect(linesOf(["stdout", "a"], ["stdout", "b\nc"], ["stdout", "\n"])).toEqual([
      stdout("ab"),
      stdout("c"),
    ]);
    expect(linesOf()).toEqual([]);
    expect(linesOf(["stdout", ""])).toEqual([]);
    expect(linesOf(["stdout", "\n"])).toEqual([stdout("")]);
  });

  it("loses one carriage return before a line feed, also between two pieces, and no other", () => {
    expect(linesOf(["stdout", "a\r"], ["stdout", "\nb\r\r\nc\rd"])).toEqual([
      stdout("a"),
      stdout("b\r"),
      stdout("c\rd"),
    ]);
  });

  it("is in the order in which lines were complete", () => {
    expect(linesOf(["stdout", "a"], ["stderr", "x\n"], ["stdout", "b\n"], ["stderr", "y"])).toEqual(
      [stderr("x"), stdout("ab"), stderr("y")],
    );
  });

  it("that comes byte by byte takes no longer for it", () => {
    const lines = new OutputLines();
    const begin = performance.now();
    for (let done = 0; done < 200_000; done++) lines.push("stdout", "x");
    expect(lines.end()[0]?.text).toHaveLength(200_000);
    expect(performance.now() - begin).toBeLessThan(5000);
  });
});

test("texts of start and stop", () => {
  expect(startText("n1")).toBe("Sandbox n1 started successfully");
  expect(stopText("n1")).toBe("Sandbox n1 stopped successfully");
});

test("metrics have all six members, whole numbers where they must be", () => {
  const running = { running: true, cpuPercent: 12.5, memoryMiB: 118.9, diskBytes: 10_485_760 };
  const key = { namespace: "default", name: "n1" };
  expect(metricsResult([sandboxMetrics(key, running), sandboxMetrics(key)])).toEqual({
    sandboxes: [
      { ...key, running: true, cpu_usage: 12.5, memory_usage: 118, disk_usage: 10_485_760 },
      { ...key, running: false, cpu_usage: null, memory_usage: null, disk_usage: null },
    ],
  });
  expect(metricsResult([])).toEqual({ sandboxes: [] });
});

test("a command has its exit code; one that a signal ended has 1", () => {
  const asked = { command: "ls", args: ["-l"] };
  const lines = [{ stream: "stderr", text: "no" }] as const;
  expect(commandResult(asked, { exitCode: 2, lines })).toEqual({
    ...asked,
    exit_code: 2,
    success: false,
    output: [stderr("no")],
  });
  expect(commandResult(asked, { exitCode: 0, lines: [] })).toMatchObject({ success: true });
  expect(commandResult(asked, { exitCode: null, lines: [] })).toMatchObject({
    exit_code: 1,
    success: false,
  });
});

describe("a run of code", () => {
  const end = (given: Partial<Extract<RunEvent, { type: "end" }>> = {}): RunEvent => ({
    type: "end",
    status: "success",
    reason: "completed",
    durationMs: 1,
    stateLost: false,
    ...given,
  });

  it("has its output in order, with values as the interpreter would echo them", () => {
    const events: RunEvent[] = [
      { type: "stdout", text: "abc" },
      { type: "result", result: { isValue: true, text: "3" } },
      { type: "stderr", text: "warning\n" },
      { type: "result", result: { isValue: false, text: "<Figure>", png: "iVBO" } },
      { type: "result", result: { isValue: false, png: "iVBO" } },
      { type: "stdout", text: "end" },
      end(),
    ];
    expect(replResult("Python", events, 5)).toEqual({
      status: "success",
      language: "Python",
      output: [stdout("abc3"), stderr("warning"), stdout("<Figure>"), stdout("end")],
    });
  });

  it("that failed says so, and its error is there once", () => {
    const error = { name: "E", value: "v", traceback: ["E: v"] };
    const events: RunEvent[] = [
      { type: "stderr", text: "E: v\n" },
      { type: "error", error },
      end({ status: "error", reason: "exception" }),
    ];
    expect(replResult("python", events, 5)).toEqual({
      status: "error",
      language: "python",
      output: [stderr("E: v")],
    });
  });

  it.each([
    ["timeout", false, ["Error: Execution timed out after 5 seconds"]],
    ["interrupted", false, ["Error: Execution was interrupted"]],
    [
      "died",
      true,
      [
        "Error: The interpreter ended while it ran the code",
        "Error: A new interpreter was started; all its state was lost",
      ],
    ],
    ["exception", false, []],
  ] as const)(
    "that ended with %s has a line for it behind all else",
    (reason, stateLost, lines) => {
      const events = [
        { type: "stderr", text: "half a line" } as const,
        end({ status: "error", reason, stateLost }),
      ];
      const [first, ...rest] = replResult("python", events, 5).output;
      expect([first, ...rest].map((line) => line?.text).join("\n")).toBe(
        ["half a line", ...lines].join("\n"),
      );
      expect(rest).toEqual(lines.map(stderr));
    },
  );
});
