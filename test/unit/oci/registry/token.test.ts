import { describe, expect, it, test } from "vitest";
import type { Credentials } from "../../../../src/oci/registry/credentials.js";
import { DEFAULT_TIMEOUTS } from "../../../../src/oci/registry/dispatcher.js";
import { fetchToken, type TokenRequest } from "../../../../src/oci/registry/token.js";
import { mockConnections } from "../../../helpers/mock-connections.js";

const USER: Credentials = { kind: "password", username: "u", password: "p" };

function asked(
  params: Record<string, string>,
  more: Partial<TokenRequest> & Pick<TokenRequest, "connections">,
): TokenRequest {
  return {
    challenge: { scheme: "bearer", params: new Map(Object.entries(params)) },
    defaultScope: "repository:a/b:pull",
    credentials: undefined,
    endpoint: {
      registry: "a.b",
      base: new URL("https://a.b"),
      folder: "",
      isMirror: false,
      allowPlainHttp: false,
      caFile: undefined,
    },
    timeouts: DEFAULT_TIMEOUTS,
    nowMs: 0,
    hint: "Log in.",
    signal: new AbortController().signal,
    ...more,
  };
}

const REALM = "https://auth.example/token";
const token = (fields: object) => ({ body: JSON.stringify({ token: "abc", ...fields }) });

describe("a token is asked for", () => {
  it.each([
    [{ service: "s" }, undefined, "?service=s&scope=repository%3Aa%2Fb%3Apull", undefined],
    [{ scope: "x y" }, undefined, "?scope=x&scope=y", undefined],
    [{ service: "s", scope: "x" }, USER, "?service=s&scope=x&account=u", "Basic dTpw"],
  ] as const)("with %j and %j as %s", async (params, credentials, query, authorization) => {
    const { connections, answer, seen } = mockConnections();
    answer(REALM + query, token({}));
    const request = asked({ realm: REALM, ...params }, { connections, credentials });
    expect((await fetchToken(request)).token).toBe("abc");
    expect(seen[0]!.headers["authorization"]).toBe(authorization);
  });

  it("with an identity token by POST", async () => {
    const { connections, answer, seen } = mockConnections();
    answer(REALM, token({}), "POST");
    const credentials: Credentials = { kind: "identityToken", token: "r&t" };
    await fetchToken(asked({ realm: REALM, service: "s" }, { connections, credentials }));
    expect(Object.fromEntries(new URLSearchParams(seen[0]!.body))).toEqual({
      grant_type: "refresh_token",
      client_id: "msb-ts",
      service: "s",
      scope: "repository:a/b:pull",
      refresh_token: "r&t",
    });
    expect(seen[0]!.headers["authorization"]).toBeUndefined();
  });
});

test.each([
  [{}, 60],
  [{ expires_in: 300 }, 300],
  [{ expires_in: 1e12 }, 86_400],
  [{ expires_in: 0 }, 60],
  [{ expires_in: -1 }, 60],
  [{ expires_in: "300" }, 60],
  [{ token: undefined, access_token: "abc" }, 60],
])("an answer with %j lasts for %i s", async (fields, seconds) => {
  const { connections, answer } = mockConnections();
  answer(`${REALM}?scope=x`, token(fields));
  const request = asked({ realm: REALM, scope: "x" }, { connections });
  expect(await fetchToken(request)).toEqual({ token: "abc", lifetimeMs: seconds * 1000 });
});

test.each([
  "",
  "auth",
  "file:///x",
  "https://u:s3cret@auth.example/token",
  "http://auth.example/token?k=s3cret",
  "javascript:x",
  // A registry elsewhere has no business with what listens here.
  "http://127.0.0.1:8080/token?k=s3cret",
])("the realm %j is refused, and no secret in it is told", async (realm) => {
  const { connections, seen } = mockConnections();
  const error: unknown = await fetchToken(asked({ realm }, { connections })).catch(
    (e: unknown) => e,
  );
  expect(error).toMatchObject({ code: "MSB_ERR_REGISTRY" });
  expect(JSON.stringify(error).replace("javascript:x", "")).not.toContain("s3cret");
  expect(seen).toEqual([]);
});
