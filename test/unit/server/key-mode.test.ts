/** The whole application as it is with keys: who is let in where, and in which order requests are refused. */
import { beforeEach, describe, expect, it } from "vitest";
import { bearer, NAMESPACE_KEYS, type TestApp, testApp } from "../../helpers/test-app.js";

let test: TestApp;
beforeEach(async () => {
  test = await testApp({
    authenticator: NAMESPACE_KEYS,
    config: { corsOrigins: ["https://app.example"] },
  });
});

type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS";

function send(method: Method, url: string, headers: Record<string, string> = {}, payload?: object) {
  return test.app.inject({
    method,
    url,
    headers,
    ...(payload === undefined ? {} : { payload }),
  });
}

describe("without a key", () => {
  it.each([
    ["POST", "/api/v1/rpc"],
    ["GET", "/api/v1/rpc"],
    ["OPTIONS", "/api/v1/rpc"],
    ["POST", "//api/v1/rpc"],
    ["POST", "/api/v1/rpc/"],
    ["POST", "/mcp"],
    ["GET", "/mcp"],
    ["DELETE", "/mcp"],
    ["POST", "//mcp"],
    ["POST", "/%6dcp"],
    ["POST", "/MCP"],
    ["GET", "/metrics"],
    ["HEAD", "/metrics"],
    ["GET", "/api/v1/info"],
    ["GET", "/api/v1/openapi.json"],
    ["GET", "/api/v1/sandboxes"],
    ["POST", "/api/v1/sandboxes"],
    ["GET", "/api/v1/images"],
    ["GET", "/api/v1/images/a/b"],
    ["POST", "/api/v1/images/pull"],
    ["POST", "/api/v1/images/warm"],
    ["GET", "/api/v1/health/"],
    ["GET", "/api/v1/HEALTH"],
    ["GET", "/api/v1/health%2f..%2finfo"],
    ["GET", "/nope"],
    ["PATCH", "/"],
  ] as const)("%s %s is 401, whatever is there", async (method, url) => {
    const answer = await send(method, url);
    expect(answer.statusCode).toBe(401);
    expect(answer.headers["www-authenticate"]).toBe("Bearer");
    expect(answer.headers["allow"]).toBeUndefined();
    expect(test.sandboxes.calls).toEqual([]);
  });

  it("there is health, and the methods that it has not", async () => {
    for (const url of ["/api/v1/health", "//api/v1/health", "/api//v1/health?x=1"]) {
      expect((await send("GET", url)).json()).toEqual({ message: "Service is healthy" });
    }
    expect((await send("HEAD", "/api/v1/health")).statusCode).toBe(200);
    const other = await send("POST", "/api/v1/health");
    expect([other.statusCode, other.body, other.headers["allow"]]).toEqual([405, "", "GET, HEAD"]);
  });

  it("a body is not read", async () => {
    const body = { jsonrpc: "2.0", method: "sandbox.start" };
    expect((await send("POST", "/api/v1/rpc", { "content-type": "text/plain" })).statusCode).toBe(
      401,
    );
    expect((await send("POST", "/api/v1/rpc", {}, body)).json()).toEqual({
      error: "Invalid credentials",
      code: 1001,
    });
  });
});

describe("with a key for all namespaces", () => {
  it.each([
    ["GET", "/nope", 404],
    ["GET", "/api/v1/rpc", 405],
    ["GET", "/mcp", 405],
    ["DELETE", "/mcp", 405],
    ["POST", "//mcp", 400],
    ["GET", "/metrics", 200],
    ["GET", "/api/v1/openapi.json", 200],
    ["GET", "/api/v1/info", 200],
  ] as const)("%s %s is %i", async (method, url, status) => {
    expect((await send(method, url, bearer("*"))).statusCode).toBe(status);
  });

  it("the API says that health alone needs none", async () => {
    const { paths } = (await send("GET", "/api/v1/openapi.json", bearer("a"))).json<{
      paths: Record<string, Record<string, { security?: unknown[] }>>;
    }>();
    const open = Object.entries(paths).filter(([, methods]) =>
      Object.values(methods).some(({ security }) => security?.length === 0),
    );
    expect(open.map(([path]) => path)).toEqual(["/api/v1/health"]);
  });
});

describe("with a key for one namespace", () => {
  const rpc = (method: string, params: object) =>
    send("POST", "/api/v1/rpc", bearer("a"), { jsonrpc: "2.0", method, params, id: 1 });

  it.each([
    ["GET", "/metrics", undefined],
    ["POST", "/api/v1/images/pull", { reference: "x" }],
    ["POST", "/api/v1/images/warm", { image: "x" }],
    ["DELETE", "/api/v1/images/x", undefined],
    ["POST", "/api/v1/sandboxes", { image: "x", namespace: "b" }],
    ["GET", "/api/v1/sandboxes?namespace=b", undefined],
  ] as const)("%s %s, which concerns others, is 403", async (method, url, payload) => {
    const answer = await send(method, url, bearer("a"), payload);
    expect(answer.json()).toMatchObject({ statusCode: 403, code: "MSB_ERR_ACCESS_DENIED" });
    expect(test.sandboxes.calls).toEqual([]);
  });

  it.each([
    "sandbox.start",
    "sandbox.stop",
    "sandbox.metrics.get",
    "sandbox.repl.run",
    "sandbox.command.run",
    "sandbox.nope",
  ])("%s elsewhere is 403", async (method) => {
    for (const namespace of ["b", "*", "A", "a ", "__proto__"]) {
      const answer = await rpc(method, { sandbox: "n1", namespace });
      expect([answer.statusCode, answer.json()]).toEqual([
        403,
        { error: "Access denied", code: 3001 },
      ]);
    }
    expect(test.sandboxes.calls).toEqual([]);
  });

  it("a tool called elsewhere is a failed one, wherever else a namespace stands", async () => {
    const params = {
      name: "sandbox_stop",
      namespace: "a",
      arguments: { sandbox: "n1", namespace: "b" },
    };
    const answer = await send("POST", "/mcp", bearer("a"), {
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params,
    });
    expect(answer.json()).toMatchObject({ id: 1, result: { isError: true } });
    expect(test.sandboxes.calls).toEqual([]);
  });
});

describe("the order of refusals", () => {
  const preflight = { "access-control-request-method": "POST" };

  it("is the name of the server, then the page, then the key", async () => {
    const evilHost = { host: "evil.example", origin: "https://app.example" };
    for (const url of ["/api/v1/rpc", "/mcp", "/nope", "/api/v1/health"]) {
      expect((await send("POST", url, { ...evilHost, ...bearer("*") })).statusCode).toBe(403);
      expect((await send("OPTIONS", url, { ...evilHost, ...preflight })).statusCode).toBe(403);
      const evilPage = { origin: "https://evil.example" };
      expect((await send("POST", url, { ...evilPage, ...bearer("*") })).statusCode).toBe(403);
      expect((await send("OPTIONS", url, { ...evilPage, ...preflight })).statusCode).toBe(403);
    }
  });

  it("lets the preflight of a listed page through without a key, and tells it of its refusal", async () => {
    const origin = "https://APP.example";
    const asked = await send("OPTIONS", "/mcp", { origin, ...preflight });
    expect(asked.statusCode).toBe(204);
    expect(asked.headers["access-control-allow-origin"]).toBe(origin);
    const refused = await send("POST", "/mcp", { origin });
    expect(refused.statusCode).toBe(401);
    expect(refused.headers["access-control-allow-origin"]).toBe(origin);
  });

  it.each([
    ["127.0.0.1:5555", 401],
    ["[::1]:5555", 401],
    ["[2001:db8::1]", 401],
    ["localhost", 401],
    ["LOCALHOST:80", 401],
    ["localhost.evil.example", 403],
    ["127.0.0.1.evil.example", 403],
    ["localhost:5555@evil.example", 403],
    ["[::1", 403],
    ["0x7f.1", 403],
  ])("takes the Host %j for %i", async (host, status) => {
    expect((await send("GET", "/api/v1/info", { host })).statusCode).toBe(status);
  });
});

describe("what a client sends", () => {
  it("is in answers and log lines only in part", async () => {
    const long = "x".repeat(300_000);
    const rpc = (body: object) => send("POST", "/api/v1/rpc", bearer("*"), body);
    const params = { sandbox: "n1", namespace: "default" };
    const answers = await Promise.all([
      rpc({ jsonrpc: "2.0", method: long }),
      rpc({ jsonrpc: long, method: "x" }),
      rpc({ jsonrpc: "2.0", method: "sandbox.start", params: { ...params, namespace: long } }),
      rpc({
        jsonrpc: "2.0",
        method: "sandbox.start",
        params: { ...params, config: { [long]: 1, cpus: long } },
      }),
      rpc({
        jsonrpc: "2.0",
        method: "sandbox.repl.run",
        params: { ...params, language: long, code: "" },
      }),
      send("POST", "/api/v1/rpc", bearer("a"), { jsonrpc: "2.0", method: long, params: {} }),
      send("POST", "/api/v1/sandboxes", bearer("*"), { image: "x", [long]: 1 }),
      send("POST", "/api/v1/sandboxes", bearer("*"), { image: "x", name: long }),
      send("POST", "/mcp", bearer("*"), { jsonrpc: "2.0", id: 1, method: long }),
    ]);
    for (const { body } of answers) expect(body.length).toBeLessThan(2_000);
    for (const line of test.log) expect(line.length).toBeLessThan(10_000);
  });
});
