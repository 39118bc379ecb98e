import { expect, test } from "vitest";
import {
  commandResult,
  metricsResult,
  startText,
  stopText,
} from "../../../../src/server/calls/results.js";
import { sandboxMetrics } from "../../../helpers/scripted-sandboxes.js";

const stderr = (text: string) => ({ stream: "stderr", text });

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
