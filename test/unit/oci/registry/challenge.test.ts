import { expect, test } from "vitest";
import { formatChallenge, parseChallenges } from "../../../../src/oci/registry/challenge.js";

/** As pairs, for people to read. */
const parse = (...lines: string[]) =>
  parseChallenges(lines).map(({ scheme, params }) => [scheme, Object.fromEntries(params)]);

test("Docker Hub's challenge is read", () => {
  const hub =
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",' +
    'scope="repository:library/python:pull,push",error="invalid_token"';
  expect(parse(hub)).toEqual([
    [
      "bearer",
      {
        realm: "https://auth.docker.io/token",
        service: "registry.docker.io",
        scope: "repository:library/python:pull,push",
        error: "invalid_token",
      },
    ],
  ]);
});

test.each([
  ['Basic realm="a", charset=UTF-8', [["basic", { realm: "a", charset: "UTF-8" }]]],
  ["BASIC Realm = a , x=y", [["basic", { realm: "a", x: "y" }]]],
  ['Basic realm="a, Bearer realm=b"', [["basic", { realm: "a, Bearer realm=b" }]]],
  [String.raw`Basic realm="a\"b\\c"`, [["basic", { realm: String.raw`a"b\c` }]]],
  ["Basic realm=a, realm=b", [["basic", { realm: "a" }]]],
  ["Negotiate", [["negotiate", {}]]],
  ["Negotiate abc/+==", [["negotiate", {}]]],
  [
    'Negotiate, Basic realm="a",Bearer realm="b",service=c',
    [
      ["negotiate", {}],
      ["basic", { realm: "a" }],
      ["bearer", { realm: "b", service: "c" }],
    ],
  ],
  [
    "NTLM abc=, Basic realm=x",
    [
      ["ntlm", {}],
      ["basic", { realm: "x" }],
    ],
  ],
  [',, ,Basic realm="a",,', [["basic", { realm: "a" }]]],
  // From where it is garbage nothing is believed.
  ['Basic realm="a", x="open, Bearer realm=b', [["basic", { realm: "a" }]]],
  ["Basic realm=a, ;x, Bearer realm=b", [["basic", { realm: "a" }]]],
  ["", []],
  ["   ", []],
  ['"Basic"', []],
  ["=", []],
])("%j is %j", (line, challenges) => expect(parse(line)).toEqual(challenges));

test("several lines are several challenges, and there is an end to them", () => {
  expect(parse("Negotiate", 'Basic realm="x"')).toHaveLength(2);
  expect(parse(...Array.from({ length: 99 }, () => "Basic realm=x"))).toHaveLength(16);
  expect(parse(`Bearer ${"x".repeat(20_000)}`, "Basic realm=x")).toEqual([
    ["basic", { realm: "x" }],
  ]);
});

test("what is written is read as the same", () => {
  const params = new Map([
    ["realm", 'a"b\\c, d'],
    ["empty", ""],
  ]);
  const challenge = { scheme: "bearer", params };
  expect(formatChallenge(challenge)).toBe(String.raw`bearer realm="a\"b\\c, d", empty=""`);
  expect(parseChallenges([formatChallenge(challenge)])).toEqual([challenge]);
});
