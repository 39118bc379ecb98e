import { describe, expect, it } from "vitest";
import type { MsbError } from "../../../src/errors.js";
import {
  mayUseNamespace,
  requireAnyNamespace,
  requireNamespace,
  visibleNamespace,
} from "../../../src/server/namespace-access.js";

const any = { namespace: "*", keyId: null };
const team = { namespace: "team", keyId: "k" };
/** Who asks without a key where none is needed. */
const nobody = { namespace: "", keyId: null };

function codeOf(check: () => void): string | null {
  try {
    check();
    return null;
  } catch (error) {
    return (error as MsbError).code;
  }
}

describe("access to namespaces", () => {
  it.each([
    [any, "team", true],
    [any, "*", true],
    [team, "team", true],
    [team, "Team", false],
    [team, "", false],
    [team, "*", false],
    [nobody, "team", false],
    [nobody, "*", false],
  ])("%j may use %s: %s", (principal, namespace, may) => {
    expect(mayUseNamespace(principal, namespace)).toBe(may);
    expect(codeOf(() => requireNamespace(principal, namespace))).toBe(
      may ? null : "MSB_ERR_ACCESS_DENIED",
    );
  });

  it("for all is only for keys of all", () => {
    expect(() => requireAnyNamespace(any, "It")).not.toThrow();
    for (const principal of [team, nobody]) {
      expect(() => requireAnyNamespace(principal, "It")).toThrow(/^It needs a key for all/);
    }
  });

  it("shows what was asked for, or what there is to see", () => {
    expect(visibleNamespace(any, undefined)).toBeUndefined();
    expect(visibleNamespace(any, "team")).toBe("team");
    expect(visibleNamespace(team, undefined)).toBe("team");
    expect(visibleNamespace(team, "team")).toBe("team");
    expect(() => visibleNamespace(team, "other")).toThrow(/not for "other"/);
  });
});
