import { describe, expect, it } from "vitest";
import {
  type CommandEnd,
  endNote,
  exitCodeOf,
  failureExitCode,
} from "../../../src/cli/command-exit.js";
import { MsbError } from "../../../src/errors.js";

const end = (facts: Partial<CommandEnd>): CommandEnd => ({
  type: "end",
  reason: "exited",
  exitCode: null,
  signal: null,
  durationMs: 1,
  ...facts,
});

describe("the exit code of a command", () => {
  it.each([
    [{ exitCode: 0 }, 0],
    [{ exitCode: 42 }, 42],
    [{ reason: "killed", signal: 15 }, 143],
    [{ reason: "outOfMemory", signal: 9 }, 137],
    [{ reason: "timeout", signal: 9 }, 124],
    [{ reason: "killed" }, 137],
  ] as const)("that ended with %j is %i", (facts, exitCode) => {
    expect(exitCodeOf(end(facts))).toBe(exitCode);
  });
});

describe("what the command cannot say itself", () => {
  it("is said of a timeout and of memory", () => {
    expect(endNote(end({ reason: "timeout" }))).toContain("--timeout");
    expect(endNote(end({ reason: "outOfMemory" }))).toContain("--memory");
    expect(endNote(end({ reason: "killed" }))).toBeNull();
    expect(endNote(end({ exitCode: 1 }))).toBeNull();
  });
});

describe("the exit code of a command that did not run", () => {
  const failed = (details: object): MsbError =>
    new MsbError("MSB_ERR_EXEC_FAILED", "no", { details: { ...details } });

  it.each([
    [failed({ operation: "execve", errno: 2 }), 127],
    [failed({ operation: "execve", errno: 13 }), 126],
    [failed({ operation: "chdir", errno: 2 }), 125],
    [failed({}), 125],
    [new MsbError("MSB_ERR_INVALID_ARGUMENT", "no"), 2],
    [new MsbError("MSB_ERR_SANDBOX_NOT_FOUND", "no"), 125],
    [new Error("no"), 125],
  ])("%s", (error, exitCode) => {
    expect(failureExitCode(error)).toBe(exitCode);
  });
});
