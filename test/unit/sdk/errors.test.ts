import { describe, expect, it } from "vitest";
import { ERROR_CODES, type ErrorCode, isMsbError, MsbError } from "../../../src/errors.js";
import * as sdk from "../../../src/index.js";
import { sdkError } from "../../../src/sdk/errors.js";

describe("errors of the SDK", () => {
  it.each<[ErrorCode, string]>([
    ["MSB_ERR_SERVER_UNREACHABLE", "ConnectionError"],
    ["MSB_ERR_SERVER_INCOMPATIBLE", "ConnectionError"],
    ["MSB_ERR_UNAUTHENTICATED", "AuthenticationError"],
    ["MSB_ERR_ACCESS_DENIED", "AuthenticationError"],
    ["MSB_ERR_SANDBOX_NOT_FOUND", "NotFoundError"],
    ["MSB_ERR_CONTEXT_NOT_FOUND", "NotFoundError"],
    ["MSB_ERR_EXEC_TIMEOUT", "TimeoutError"],
    ["MSB_ERR_REQUEST_TIMEOUT", "TimeoutError"],
    ["MSB_ERR_ABORTED", "AbortError"],
    ["MSB_ERR_INVALID_STATE", "InvalidStateError"],
    ["MSB_ERR_SANDBOX_EXISTS", "InvalidStateError"],
    ["MSB_ERR_TOO_MANY_SANDBOXES", "LimitError"],
    ["MSB_ERR_OUTPUT_LIMIT", "LimitError"],
    ["MSB_ERR_INVALID_ARGUMENT", "InvalidArgumentError"],
    ["MSB_ERR_EXEC_FAILED", "ExecutionError"],
    ["MSB_ERR_KERNEL_UNAVAILABLE", "ExecutionError"],
    ["MSB_ERR_REGISTRY_AUTH", "ImageError"],
    ["MSB_ERR_BOOT_FAILED", "ServerError"],
    ["MSB_ERR_INTERNAL", "ServerError"],
  ])("%s is a %s", (code, name) => {
    const error = sdkError(code, "what happened", { details: { fact: 1 }, cause: "why" });
    const errorClass = (sdk as Record<string, unknown>)[name] as typeof MsbError;
    expect(error).toBeInstanceOf(errorClass);
    expect(error).toBeInstanceOf(MsbError);
    expect(error).toMatchObject({ name, code, details: { fact: 1 }, cause: "why" });
    expect(String(error)).toBe(`${name}: what happened`);
  });

  it("have one class for each code", () => {
    for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
      const error = sdkError(code, "");
      expect(error.code).toBe(code);
      expect((sdk as Record<string, unknown>)[error.name]).toBe(error.constructor);
    }
  });

  it("are known across two copies of the package", async () => {
    const copy = (await import("../../../src/errors.js?copy" as string)) as {
      MsbError: typeof MsbError;
    };
    expect(copy.MsbError).not.toBe(MsbError);
    const error: unknown = new copy.MsbError("MSB_ERR_NO_SPACE", "full");
    expect(error).not.toBeInstanceOf(MsbError);
    expect(isMsbError(error)).toBe(true);
    expect(isMsbError(error, "MSB_ERR_NO_SPACE")).toBe(true);
    expect(isMsbError(error, "MSB_ERR_INTERNAL")).toBe(false);
  });

  it.each([new Error("MSB_ERR_INTERNAL"), { code: "MSB_ERR_INTERNAL" }, null, undefined, "text"])(
    "are not taken for %s",
    (value) => {
      expect(isMsbError(value)).toBe(false);
    },
  );
});
