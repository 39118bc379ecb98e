import { describe, expect, it } from "vitest";
import { MsbError } from "../../../src/errors.js";
import { bearer, NAMESPACE_KEYS, testApp } from "../../helpers/test-app.js";

describe("addresses and methods that are not known", () => {
  it("are 404 and 405, with the methods that are", async () => {
    const { app } = await testApp();
    expect((await app.inject({ url: "/api/v1/nope?x=1" })).json()).toMatchObject({
      statusCode: 404,
      code: "MSB_ERR_ROUTE_NOT_FOUND",
      message: "There is nothing at /api/v1/nope.",
    });
    const answer = await app.inject({ method: "PUT", url: "/api/v1/sandboxes", payload: "x" });
    expect(answer.json()).toMatchObject({ statusCode: 405, code: "MSB_ERR_METHOD_NOT_ALLOWED" });
    expect(answer.headers["allow"]).toBe("GET, HEAD, POST");
    const image = await app.inject({ method: "PUT", url: "/api/v1/images/a/b" });
    expect(image.headers["allow"]).toBe("GET, HEAD, DELETE");
  });

  it.each([
    ["/api/v1/%zz", 400],
    ["/api/v1/sandboxes/default/%zz", 400],
    [`/api/v1/sandboxes/default/${"x".repeat(300)}`, 400],
    ["/api/v1/images/%ff", 400],
  ])("have the one error body: %s", async (url, statusCode) => {
    const { app } = await testApp();
    const answer = await app.inject({ url });
    expect(answer.json()).toMatchObject({
      statusCode,
      code: "MSB_ERR_INVALID_ARGUMENT",
      requestId: expect.any(String),
    });
    expect(answer.statusCode).toBe(statusCode);
  });

  it("leave an image called pull where it is", async () => {
    const { app } = await testApp();
    expect((await app.inject({ url: "/api/v1/images/pull" })).json()).toMatchObject({
      code: "MSB_ERR_IMAGE_NOT_FOUND",
    });
  });

  it("have an empty body where clients of the old server look", async () => {
    const { app } = await testApp();
    const answer = await app.inject({ method: "POST", url: "/api/v1/health" });
    expect([answer.statusCode, answer.body]).toEqual([405, ""]);
    expect(answer.headers["allow"]).toBe("GET, HEAD");
  });
});

describe("pages of other origins", () => {
  const allowed = async (origin: string, opts: Parameters<typeof testApp>[0]) => {
    const { app } = await testApp(opts);
    const answer = await app.inject({
      method: "OPTIONS",
      url: "/api/v1/rpc",
      headers: { origin, "access-control-request-method": "POST" },
    });
    return answer.headers["access-control-allow-origin"];
  };

  it("may not call unless they are listed", async () => {
    const opts = { authenticator: NAMESPACE_KEYS };
    expect(await allowed("https://a.example", opts)).toBeUndefined();
    const listed = { ...opts, config: { corsOrigins: ["https://a.example"] } };
    expect(await allowed("https://a.example", listed)).toBe("https://a.example");
    expect(await allowed("https://b.example", listed)).not.toBe("https://b.example");
    expect(await allowed("https://b.example", { ...opts, config: { corsOrigins: ["*"] } })).toBe(
      "*",
    );
  });

  it("of this machine may, in dev mode", async () => {
    expect(await allowed("http://localhost:3000", {})).toBe("http://localhost:3000");
    expect(await allowed("http://127.0.0.1:3000", {})).toBe("http://127.0.0.1:3000");
    expect(await allowed("https://a.example", {})).toBeUndefined();
    expect(await allowed("https://localhost.example", {})).toBeUndefined();
  });
});

describe("errors", () => {
  it("nobody thought of say nothing but where to look", async () => {
    const { app, sandboxes, log } = await testApp();
    sandboxes.before.stop = () => {
      throw new Error("secret");
    };
    const answer = await app.inject({ method: "POST", url: "/api/v1/sandboxes/a/b/stop" });
    expect(answer.json()).toEqual({
      statusCode: 500,
      code: "MSB_ERR_INTERNAL",
      error: "Internal Server Error",
      message: expect.stringContaining(String(answer.headers["x-request-id"])),
      requestId: answer.headers["x-request-id"],
    });
    expect(log.join("")).toContain("secret");
  });

  it("of too many tries say when to come again", async () => {
    const { app } = await testApp({
      authenticator: {
        authenticate: async () => {
          throw new MsbError("MSB_ERR_RATE_LIMITED", "slow down", {
            details: { retryAfterSeconds: 2.5 },
          });
        },
      },
    });
    const answer = await app.inject({ url: "/api/v1/info", headers: bearer("x") });
    expect([answer.statusCode, answer.headers["retry-after"]]).toEqual([429, "3"]);
    const rpc = await app.inject({ method: "POST", url: "/api/v1/rpc", payload: {} });
    expect([rpc.statusCode, rpc.headers["retry-after"]]).toEqual([429, "3"]);
  });
});
