import Fastify, { type FastifyInstance } from "fastify";
import { describe, expect, it, onTestFinished, test } from "vitest";
import { isMsbError, MsbError } from "../../../../src/errors.js";
import type { Authenticator } from "../../../../src/server/auth/authenticator.js";
import { authPlugin } from "../../../../src/server/plugins/auth.js";

/** Knows one key; remembers what it was asked. */
function oneKey(): Authenticator & { readonly asked: unknown[] } {
  const asked: unknown[] = [];
  return {
    asked,
    authenticate: async (headers, remoteAddress) => {
      asked.push({ ...headers, remoteAddress });
      if (headers.authorization === "good") return { namespace: "a", keyId: "k" };
      throw new MsbError("MSB_ERR_UNAUTHENTICATED", "Invalid credentials");
    },
  };
}

async function appWith(authenticator: Authenticator | null): Promise<FastifyInstance> {
  const app = Fastify();
  onTestFinished(() => app.close());
  app.setErrorHandler((error, _request, reply) =>
    reply.code(isMsbError(error, "MSB_ERR_UNAUTHENTICATED") ? 401 : 500).send(String(error)),
  );
  await app.register(authPlugin, { authenticator });
  app.get("/health", { config: { public: true } }, async (request) => request.principal);
  await app.register(async (child) => {
    child.post("/rpc", async (request) => request.principal);
  });
  return app;
}

describe("with keys", () => {
  it("a route has the principal of the request, also in a part of the application", async () => {
    const authenticator = oneKey();
    const app = await appWith(authenticator);
    const response = await app.inject({
      method: "POST",
      url: "/rpc",
      headers: { authorization: "good", "proxy-authorization": "other" },
    });
    expect(response.json()).toEqual({ namespace: "a", keyId: "k" });
    expect(authenticator.asked).toEqual([
      { authorization: "good", proxyAuthorization: "other", remoteAddress: "127.0.0.1" },
    ]);
  });

  it.each([
    ["POST", "/rpc"],
    ["GET", "/rpc"],
    ["PUT", "/rpc"],
    ["GET", "/none"],
    ["POST", "/health"],
  ] as const)("%s %s without one is 401, whether it is there or not", async (method, url) => {
    const app = await appWith(oneKey());
    expect((await app.inject({ method, url })).statusCode).toBe(401);
  });

  it("the body of a request without one is not read", async () => {
    const app = await appWith(oneKey());
    const response = await app.inject({
      method: "POST",
      url: "/rpc",
      headers: { "content-type": "application/json" },
      body: "{no json",
    });
    expect(response.statusCode).toBe(401);
  });

  it("only a public route asks nobody, and nobody has a namespace there", async () => {
    const authenticator = oneKey();
    const app = await appWith(authenticator);
    const response = await app.inject("/health");
    expect(response.json()).toEqual({ namespace: "", keyId: null });
    expect(authenticator.asked).toEqual([]);
  });
});

test("in dev mode everybody may do everything, with or without a key", async () => {
  const app = await appWith(null);
  for (const headers of [{}, { authorization: "garbage" }]) {
    const response = await app.inject({ method: "POST", url: "/rpc", headers });
    expect(response.json()).toEqual({ namespace: "*", keyId: null });
  }
  expect((await app.inject("/none")).statusCode).toBe(404);
});
