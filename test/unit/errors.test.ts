import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ERROR_CODES, isMsbError, MsbError } from "../../src/errors.js";

describe("the table of error codes", () => {
  it("is in the README, whole and with nothing else", () => {
    const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
    const documented = new Set(readme.match(/MSB_ERR_[A-Z_]+/g));
    expect([...documented].toSorted()).toEqual(Object.keys(ERROR_CODES).toSorted());
  });
});

describe("MsbError", () => {
  it("carries code, cause and details, and is JSON without its stack", () => {
    const cause = new Error("below");
    const error = new MsbError("MSB_ERR_NO_SPACE", "full", { cause, details: { path: "/x" } });
    expect(error.cause).toBe(cause);
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      code: "MSB_ERR_NO_SPACE",
      message: "full",
      details: { path: "/x" },
    });
    expect(isMsbError(error, "MSB_ERR_NO_SPACE")).toBe(true);
    expect(isMsbError(error, "MSB_ERR_ABORTED")).toBe(false);
    expect(error.retryable).toBe(false);
    expect(new MsbError("MSB_ERR_AGENT_UNREACHABLE", "x").retryable).toBe(true);
  });
});
