import { describe, expect, it } from "vitest";
import type { RunEvent } from "../../../../src/kernel/run-types.js";
import {
  type CollectOpts,
  collectRunLines,
  timedOutAtOnce,
} from "../../../../src/server/calls/run-lines.js";

const stdout = (text: string) => ({ stream: "stdout", text });
const stderr = (text: string) => ({ stream: "stderr", text });

async function* iterated(events: readonly RunEvent[]): AsyncGenerator<RunEvent> {
  yield* events;
}

function collect(events: readonly RunEvent[], opts: Partial<CollectOpts> = {}) {
  return collectRunLines(iterated(events), { timeoutSeconds: 5, maxOutputBytes: 1_000, ...opts });
}

describe("a run of code", () => {
  const end = (given: Partial<Extract<RunEvent, { type: "end" }>> = {}): RunEvent => ({
    type: "end",
    status: "success",
    reason: "completed",
    durationMs: 1,
    stateLost: false,
    ...given,
  });

  it("has its output in order, with values as the interpreter would echo them", async () => {
    const events: RunEvent[] = [
      { type: "stdout", text: "abc" },
      { type: "result", result: { isValue: true, text: "3" } },
      { type: "stderr", text: "warning\n" },
      { type: "result", result: { isValue: false, text: "<Figure>", png: "iVBO" } },
      { type: "result", result: { isValue: false, png: "iVBO" } },
      { type: "stdout", text: "end" },
      end(),
    ];
    expect(await collect(events)).toEqual({
      status: "success",
      output: [stdout("abc3"), stderr("warning"), stdout("<Figure>"), stdout("end")],
    });
  });

  it("that failed says so, and its error is there once", async () => {
    const error = { name: "E", value: "v", traceback: ["E: v"] };
    const events: RunEvent[] = [
      { type: "stderr", text: "E: v\n" },
      { type: "error", error },
      end({ status: "error", reason: "exception" }),
    ];
    expect(await collect(events)).toEqual({
      status: "error",
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
    async (reason, stateLost, lines) => {
      const events = [
        { type: "stderr", text: "half a line" } as const,
        end({ status: "error", reason, stateLost }),
      ];
      const [first, ...rest] = (await collect(events)).output;
      expect([first, ...rest].map((line) => line?.text).join("\n")).toBe(
        ["half a line", ...lines].join("\n"),
      );
      expect(rest).toEqual(lines.map(stderr));
    },
  );

  it("tells of values as they come, for callers that know more than lines", async () => {
    const seen: unknown[] = [];
    const figure = { isValue: false, png: "iVBO" };
    await collect([{ type: "result", result: figure }, end()], { onResult: (r) => seen.push(r) });
    expect(seen).toEqual([figure]);
  });

  it("says how much of a value was left out when its text is too long", async () => {
    const large = { isValue: true, omitted: { text: 9_000_000 } };
    const { output } = await collect([{ type: "result", result: large }, end()]);
    expect(output).toEqual([
      { stream: "stdout", text: "[9000000 bytes of a value were left out: too many]" },
    ]);
  });

  it("that writes more than is allowed is not read on", async () => {
    const events: RunEvent[] = [
      { type: "stdout", text: "abc" },
      { type: "stderr", text: "def" },
      end(),
    ];
    await expect(collect(events, { maxOutputBytes: 5 })).rejects.toMatchObject({
      code: "MSB_ERR_OUTPUT_LIMIT",
      details: { maxOutputBytes: 5 },
    });
  });

  it("without any time has only the line that says so", () => {
    expect(timedOutAtOnce(0)).toEqual({
      status: "error",
      output: [stderr("Error: Execution timed out after 0 seconds")],
    });
  });
});
