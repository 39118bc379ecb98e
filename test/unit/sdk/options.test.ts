import { describe, expect, it } from "vitest";
import { envEntries, given, milliseconds, timeoutMs } from "../../../src/sdk/options.js";
import { errorOf } from "../../helpers/sdk.js";

describe("times", () => {
  it("are seconds that become milliseconds", () => {
    expect(timeoutMs("timeout", 1.5)).toBe(1500);
    expect(timeoutMs("timeout", 0.0001)).toBe(1);
    expect(milliseconds("idleTimeout", 0)).toBe(0);
  });

  it("may be left out, or be infinite, for no limit", () => {
    expect(timeoutMs("timeout", undefined)).toBeUndefined();
    expect(timeoutMs("timeout", Infinity)).toBeUndefined();
  });

  it.each([-1, Number.NaN, 1e9])("are refused when they are %s", async (seconds) => {
    const error = await errorOf(() => timeoutMs("timeout", seconds));
    expect(error).toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      details: { option: "timeout" },
    });
    expect(error.message).toContain(`it is ${seconds}`);
  });

  it("are refused when they are no time at all", async () => {
    expect((await errorOf(() => timeoutMs("timeout", 0))).message).toContain("Leave it out");
  });
});

describe("variables", () => {
  it("are NAME=value", () => {
    expect(envEntries({ A: "1", B: "x=y", C: "" })).toEqual(["A=1", "B=x=y", "C="]);
  });

  it.each(["", "A=B"])("are refused with the name %j", async (name) => {
    const error = await errorOf(() => envEntries({ [name]: "1" }));
    expect(error).toMatchObject({ code: "MSB_ERR_INVALID_ARGUMENT", details: { option: "env" } });
  });
});

it("Members that are undefined are left out", () => {
  expect(Object.keys(given({ a: 1, b: undefined, c: null }))).toEqual(["a", "c"]);
});
