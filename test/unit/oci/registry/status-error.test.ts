import { expect, test } from "vitest";
import { type StatusContext, statusError } from "../../../../src/oci/registry/status-error.js";
import { exchange } from "../../../../src/oci/registry/transport.js";
import { type Answer, mockConnections } from "../../../helpers/mock-connections.js";

async function errorOf(answer: Answer, more: Partial<StatusContext> = {}) {
  const mock = mockConnections();
  mock.answer("https://a.b/v2/x", answer);
  const request = { url: new URL("https://a.b/v2/x"), allowPlainHttp: false, what: "It" };
  const response = await exchange(mock.connections, request);
  return statusError(response, {
    what: "The manifest of a.b/x:1",
    registry: "a.b",
    from: "registry",
    secrets: [],
    hint: "Log in.",
    nowMs: 0,
    ...more,
  });
}

test.each([
  [400, "MSB_ERR_REGISTRY", "MSB_ERR_REGISTRY_AUTH"],
  [401, "MSB_ERR_REGISTRY_AUTH", "MSB_ERR_REGISTRY_AUTH"],
  [403, "MSB_ERR_REGISTRY_AUTH", "MSB_ERR_REGISTRY_AUTH"],
  [404, "MSB_ERR_IMAGE_NOT_FOUND", "MSB_ERR_REGISTRY"],
  [408, "MSB_ERR_REGISTRY_UNAVAILABLE", "MSB_ERR_REGISTRY_UNAVAILABLE"],
  [418, "MSB_ERR_REGISTRY", "MSB_ERR_REGISTRY"],
  [429, "MSB_ERR_REGISTRY_UNAVAILABLE", "MSB_ERR_REGISTRY_UNAVAILABLE"],
  [500, "MSB_ERR_REGISTRY_UNAVAILABLE", "MSB_ERR_REGISTRY_UNAVAILABLE"],
  [503, "MSB_ERR_REGISTRY_UNAVAILABLE", "MSB_ERR_REGISTRY_UNAVAILABLE"],
])("%i is %s from a registry and %s from its token service", async (status, code, tokenCode) => {
  expect((await errorOf({ status })).code).toBe(code);
  expect((await errorOf({ status }, { from: "token service" })).code).toBe(tokenCode);
});

test("the message has what was asked for, the registry's words and what to do", async () => {
  const body = JSON.stringify({ errors: [{ code: "DENIED", message: "go away." }, { code: "X" }] });
  const error = await errorOf({ status: 401, body });
  expect(error.message).toBe(
    "The manifest of a.b/x:1 is not at a.b, or not for you (HTTP 401). It says: DENIED: go away.; X. Log in.",
  );
  expect(error.details).toEqual({ registry: "a.b", url: "https://a.b/v2/x", status: 401 });
});

test("when to come back is in the details", async () => {
  const error = await errorOf({ status: 429, headers: { "retry-after": "9" } });
  expect(error.details).toMatchObject({ retryAfterMs: 9000 });
});

test("a body that lists no errors, or is far too long, adds nothing", async () => {
  const long = JSON.stringify({ errors: [{ code: "x".repeat(70_000) }] });
  for (const body of ["", "null", "[]", "{", '{"errors":3}', '{"errors":[3,null,{}]}', long]) {
    const error = await errorOf({ status: 404, body });
    expect(error.message).not.toContain("It says");
  }
});
