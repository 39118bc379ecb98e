import Fastify from "fastify";
import { expect, onTestFinished, test } from "vitest";
import { isMsbError } from "../../../../src/errors.js";
import { originGuard } from "../../../../src/server/plugins/origin-guard.js";

async function statusOf(
  headers: Record<string, string>,
  { allowedHosts = [], method = "POST" }: { allowedHosts?: string[]; method?: "GET" | "POST" } = {},
) {
  const app = Fastify();
  onTestFinished(() => app.close());
  app.setErrorHandler((error, _request, reply) =>
    isMsbError(error, "MSB_ERR_ACCESS_DENIED")
      ? reply.code(403).send(error.toJSON())
      : reply.code(500).send(String(error)),
  );
  await app.register(originGuard, { allowedHosts, corsOrigins: [], isDevMode: false });
  await app.register(async (child) => {
    child.route({ method: ["GET", "POST"], url: "/", handler: async () => "ok" });
  });
  return app.inject({ method, url: "/", headers });
}

test("a request by a name that is not the server's is refused, and the message has the way out", async () => {
  const refused = await statusOf({ host: "evil.example:5555" });
  expect(refused.statusCode).toBe(403);
  expect(refused.json()).toMatchObject({
    message: expect.stringContaining("--allow-host") as string,
    details: { header: "host", value: '"evil.example:5555"' },
  });
  const allowed = { allowedHosts: ["evil.example"] };
  expect((await statusOf({ host: "evil.example:5555" }, allowed)).statusCode).toBe(200);
  expect((await statusOf({ host: "localhost:5555" })).statusCode).toBe(200);
});

test("a page of another origin is refused, whatever it does", async () => {
  for (const method of ["GET", "POST"] as const) {
    const headers = { host: "localhost:5555", origin: "https://evil.example" };
    const refused = await statusOf(headers, { method });
    expect(refused.statusCode).toBe(403);
    expect(refused.json()).toMatchObject({
      message: expect.stringContaining("--cors-origin") as string,
      details: { header: "origin", value: '"https://evil.example"' },
    });
    const own = { host: "localhost:5555", origin: "http://localhost:5555" };
    expect((await statusOf(own, { method })).statusCode).toBe(200);
  }
});

test("what is refused is shown in part, and as text", async () => {
  const refused = await statusOf({ host: `x"\u001b${"y".repeat(300)}` });
  const { message } = refused.json<{ message: string }>();
  expect(message.length).toBeLessThan(300);
  expect(message).toContain('"x\\"\\u001b');
});
