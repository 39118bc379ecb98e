import { beforeEach, describe, expect, it } from "vitest";
import { MsbError } from "../../../../src/errors.js";
import { bearer, NAMESPACE_KEYS, type TestApp, testApp } from "../../../helpers/test-app.js";

const target = { namespace: "default", sandbox: "n1" };

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly type: string | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
}

async function send(
  { app }: TestApp,
  payload: string,
  headers: Record<string, string> = {},
  url = "/api/v1/rpc",
): Promise<Answer> {
  const answer = await app.inject({
    method: "POST",
    url,
    payload,
    headers: { "content-type": "application/json", ...headers },
  });
  const type = answer.headers["content-type"]?.toString();
  return {
    status: answer.statusCode,
    body: type?.startsWith("application/json") ? answer.json() : answer.body,
    type,
    headers: answer.headers,
  };
}

function call(
  test: TestApp,
  method: string,
  params?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return send(test, JSON.stringify({ jsonrpc: "2.0", method, params, id: "1" }), headers);
}

const flat = (error: unknown, code: number) => ({ error, code });

describe("the envelope of JSON-RPC", () => {
  let test: TestApp;
  beforeEach(async () => {
    test = await testApp();
    test.sandboxes.add("default", "n1");
  });

  it("answers a call with its result and id, and nothing else", async () => {
    const answer = await call(test, "sandbox.stop", target);
    expect(answer).toMatchObject({
      status: 200,
      body: { jsonrpc: "2.0", result: "Sandbox n1 stopped successfully", id: "1" },
    });
    expect(answer.type).toMatch(/^application\/json/);
    expect(Object.keys(answer.body as object)).toEqual(["jsonrpc", "result", "id"]);
  });

  it.each(["//api/v1/rpc", "/api//v1///rpc", "/api/v1/rpc?x=//"])("is at %s, too", async (url) => {
    const request = { jsonrpc: "2.0", method: "sandbox.stop", params: target };
    expect((await send(test, JSON.stringify(request), {}, url)).status).toBe(200);
  });

  it.each([7, "x", { a: [1] }, false, 0, ""])("echoes the id %j", async (id) => {
    const request = JSON.stringify({ jsonrpc: "2.0", method: "sandbox.stop", params: target, id });
    expect((await send(test, request)).body).toMatchObject({ id });
  });

  it.each(['"id":null,', ""])("has no id when the request has %j", async (id) => {
    const request = `{"jsonrpc":"2.0",${id}"method":"sandbox.stop","params":${JSON.stringify(target)}}`;
    expect(Object.keys((await send(test, request)).body as object)).toEqual(["jsonrpc", "result"]);
  });

  it.each(["application/json; charset=utf-8", "application/vnd.x+json", "APPLICATION/JSON"])(
    "reads %s",
    async (type) => {
      const request = JSON.stringify({ jsonrpc: "2.0", method: "sandbox.stop", params: target });
      expect((await send(test, request, { "content-type": type })).status).toBe(200);
    },
  );

  it.each([
    ["no JSON", "{", 400, /^Failed to parse the request body as JSON/],
    ["an empty body", "", 400, /^Failed to parse the request body as JSON/],
    ["a member __proto__", '{"__proto__":1}', 400, /^Failed to parse the request body as JSON/],
    ["a batch", "[{}]", 422, /^Failed to deserialize the JSON body into the target type/],
    ["null", "null", 422, /^Failed to deserialize/],
    ["a text", '"x"', 422, /^Failed to deserialize/],
    ["no jsonrpc", '{"method":"x"}', 422, /^Failed to deserialize.*jsonrpc/],
    ["a number as jsonrpc", '{"jsonrpc":2,"method":"x"}', 422, /^Failed to deserialize.*jsonrpc/],
    ["no method", '{"jsonrpc":"2.0"}', 422, /^Failed to deserialize.*method/],
    ["a number as method", '{"jsonrpc":"2.0","method":1}', 422, /^Failed to deserialize.*method/],
  ])("refuses %s in plain text", async (_name, payload, status, body) => {
    const answer = await send(test, payload);
    expect(answer).toMatchObject({ status, body: expect.stringMatching(body) });
    expect(answer.type).toMatch(/^text\/plain/);
  });

  it.each(["text/plain", "application/x-www-form-urlencoded", "application/jsonx"])(
    "refuses %s with 415 in plain text",
    async (type) => {
      const answer = await send(test, "{}", { "content-type": type });
      expect(answer).toMatchObject({
        status: 415,
        body: "Expected request with `Content-Type: application/json`",
      });
      expect(answer.type).toMatch(/^text\/plain/);
    },
  );

  it("refuses a request without body and type with 415", async () => {
    const answer = await test.app.inject({ method: "POST", url: "/api/v1/rpc" });
    expect(answer.statusCode).toBe(415);
  });

  it("refuses a body over the limit with 413 in plain text", async () => {
    const small = await testApp({ config: { maxBodyBytes: 100 } });
    const answer = await send(small, JSON.stringify({ jsonrpc: "x".repeat(100) }));
    expect(answer).toMatchObject({ status: 413, body: expect.stringContaining("length limit") });
    expect(answer.type).toMatch(/^text\/plain/);
  });

  it("refuses another version with -32600, with the id", async () => {
    const answer = await send(test, '{"jsonrpc":"1.0","method":"sandbox.stop","id":3}');
    expect(answer).toMatchObject({
      status: 400,
      type: expect.stringMatching(/^application\/json/),
    });
    expect(answer.body).toEqual({
      jsonrpc: "2.0",
      error: { code: -32600, message: "Invalid or missing jsonrpc version field" },
      id: 3,
    });
  });

  it("refuses an unknown method with -32601 and 404", async () => {
    expect(await call(test, "sandbox.fly", {})).toMatchObject({
      status: 404,
      body: {
        jsonrpc: "2.0",
        error: { code: -32601, message: "Method not found: sandbox.fly" },
        id: "1",
      },
    });
    expect((await send(test, '{"jsonrpc":"2.0","method":"toString"}')).body).toEqual({
      jsonrpc: "2.0",
      error: { code: -32601, message: "Method not found: toString" },
    });
  });

  it("has a request id in the answer, its own or a harmless one of the caller", async () => {
    const given = await call(test, "sandbox.stop", target, { "x-request-id": "abc-1" });
    expect(given.headers["x-request-id"]).toBe("abc-1");
    const own = await call(test, "sandbox.stop", target, { "x-request-id": 'a b"' });
    expect(own.headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe("keys at JSON-RPC", () => {
  let test: TestApp;
  beforeEach(async () => {
    test = await testApp({ authenticator: NAMESPACE_KEYS });
    test.sandboxes.add("default", "n1");
  });

  it.each([
    ["none", {}, flat("Invalid credentials", 1001)],
    ["no msb_ key", { authorization: "Bearer x" }, flat("Invalid credentials", 1001)],
    ["a bad token", { authorization: "Bearer msb_" }, flat("Invalid or expired token", 1004)],
  ])("are refused with 401: %s", async (_name, headers, body) => {
    const answer = await call(test, "sandbox.stop", target, headers as Record<string, string>);
    expect(answer).toMatchObject({ status: 401, body });
    expect(Object.keys(answer.body as object)).toEqual(["error", "code"]);
  });

  it("are checked before the method of HTTP", async () => {
    const answer = await test.app.inject({ method: "GET", url: "/api/v1/rpc" });
    expect(answer.statusCode).toBe(401);
  });

  it("are for their own namespace", async () => {
    const own = await call(test, "sandbox.stop", target, bearer("default"));
    expect(own.status).toBe(200);
    for (const namespace of ["default", "*"]) {
      const answer = await call(test, "sandbox.metrics.get", { namespace }, bearer("team"));
      expect(answer).toMatchObject({ status: 403, body: flat("Access denied", 3001) });
    }
  });

  it("must name it in every call", async () => {
    expect(await call(test, "sandbox.fly", undefined, bearer("team"))).toMatchObject({
      status: 400,
      body: flat("Missing 'params' field in JSON-RPC request", 2001),
    });
    for (const params of [{}, null, [], { namespace: 1 }]) {
      expect(await call(test, "sandbox.fly", params, bearer("team"))).toMatchObject({
        status: 400,
        body: flat("Missing or invalid 'namespace' in params for method 'sandbox.fly'", 2001),
      });
    }
  });

  it("for all namespaces need not", async () => {
    expect((await call(test, "sandbox.fly", undefined, bearer("*"))).status).toBe(404);
    expect((await call(test, "sandbox.stop", target, bearer("*"))).status).toBe(200);
  });
});

describe("other methods and paths", () => {
  it.each(["GET", "PUT", "DELETE", "OPTIONS", "PATCH"] as const)("%s gets 405", async (method) => {
    const { app } = await testApp();
    const answer = await app.inject({ method, url: "/api/v1/rpc" });
    expect(answer).toMatchObject({ statusCode: 405, body: "" });
    expect(answer.headers["allow"]).toBe("POST");
  });

  it.each(["/api/v1/rpc/", "/api/v1/health/"])("%s gets an empty 404", async (url) => {
    const { app } = await testApp();
    expect(await app.inject({ method: "POST", url })).toMatchObject({ statusCode: 404, body: "" });
  });
});

describe("failures of sandboxes at JSON-RPC", () => {
  it.each([
    ["MSB_ERR_TOO_MANY_SANDBOXES", { retryAfterSeconds: 12 }, 429, "12"],
    ["MSB_ERR_TOO_MANY_SANDBOXES", {}, 429, "5"],
    ["MSB_ERR_SHUTTING_DOWN", {}, 503, "5"],
    ["MSB_ERR_BOOT_FAILED", {}, 500, undefined],
    ["MSB_ERR_IMAGE_NOT_FOUND", {}, 500, undefined],
    ["MSB_ERR_REGISTRY_UNAVAILABLE", {}, 500, undefined],
  ] as const)("%s %j is %i", async (code, details, status, retryAfter) => {
    const test = await testApp();
    test.sandboxes.before.start = () => {
      throw new MsbError(code, "the real cause", { details });
    };
    const params = { ...target, config: { image: "python" } };
    const answer = await call(test, "sandbox.start", params);
    expect(answer).toMatchObject({ status, body: flat("the real cause", 5002) });
    expect(answer.headers["retry-after"]).toBe(retryAfter);
  });

  it("says nothing of what nobody thought of, but where to look", async () => {
    const test = await testApp();
    test.sandboxes.before.start = () => {
      throw new Error("secret /home/user");
    };
    const params = { ...target, config: { image: "python" } };
    const answer = await call(test, "sandbox.start", params, { "x-request-id": "r-1" });
    expect(answer).toMatchObject({ status: 500, body: { code: 5002 } });
    expect((answer.body as { error: string }).error).toContain("r-1");
    expect(JSON.stringify(answer.body)).not.toContain("secret");
    expect(test.log.join("")).toContain("secret /home/user");
  });
});
