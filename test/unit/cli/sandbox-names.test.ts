import { describe, expect, it } from "vitest";
import { parseSandboxName, sandboxName, splitSandboxName } from "../../../src/cli/sandbox-names.js";

describe("the name of a sandbox", () => {
  it.each([
    ["lab", { namespace: "default", name: "lab" }],
    ["team-a/lab_2", { namespace: "team-a", name: "lab_2" }],
  ])("%s is parsed", (text, key) => {
    expect(parseSandboxName(text)).toEqual(key);
  });

  it.each(["", "/lab", "team/", "a/b/c", "*/lab", "-x", "a b", "x".repeat(64), "a\u001b[2J"])(
    "cannot be %j",
    (text) => {
      expect(() => parseSandboxName(text)).toThrow(
        expect.objectContaining({
          code: "MSB_ERR_INVALID_ARGUMENT",
          message: expect.stringMatching(/^A sandbox cannot be called "[^\p{Cc}]*": [a-z]/u),
        }),
      );
    },
  );

  it("is shown as it is taken, without the default namespace", () => {
    for (const text of ["lab", "team/lab"]) expect(sandboxName(parseSandboxName(text))).toBe(text);
  });

  it("leaves the namespace to the server where none is said", () => {
    expect(splitSandboxName("lab")).toEqual({ name: "lab" });
  });
});
