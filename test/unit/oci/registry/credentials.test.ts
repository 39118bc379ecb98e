import { expect, test } from "vitest";
import { basicOf, secretsOf } from "../../../../src/oci/registry/credentials.js";

test("Basic is in UTF-8, and may hold colons in the password", () => {
  expect(basicOf({ username: "u", password: "p:ä" })).toBe("dTpwOsOk");
});

test("every form in which secrets are sent is one", () => {
  expect(secretsOf(undefined)).toEqual([]);
  expect(secretsOf({ kind: "identityToken", token: "a+b" })).toEqual(["a+b", "a%2Bb"]);
  expect(secretsOf({ kind: "password", username: "u", password: "p/q" })).toEqual([
    "p/q",
    "p%2Fq",
    basicOf({ username: "u", password: "p/q" }),
  ]);
});
