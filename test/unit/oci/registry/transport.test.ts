import { describe, expect, it, test } from "vitest";
import { isMsbError, MsbError } from "../../../../src/errors.js";
import {
  discard,
  exchange,
  type HttpRequest,
  readBody,
} from "../../../../src/oci/registry/transport.js";
import { mockConnections } from "../../../helpers/mock-connections.js";

const asked = (url: string, more: Partial<HttpRequest> = {}): HttpRequest => ({
  url: new URL(url),
  allowPlainHttp: false,
  what: "The thing",
  ...more,
});
const redirect = (location: string) => ({ status: 307, headers: { location } });

test("an answer has its status, its headers and its body", async () => {
  const { connections, answer, seen } = mockConnections();
  const headers = { "x-a": ["1", "2"], "content-type": "text/plain" };
  answer("https://a.b/x?y", { status: 418, headers, body: "tea" });
  const request = asked("https://a.b/x?y", { headers: { accept: "z" }, authorization: "Basic q" });
  const response = await exchange(connections, request);
  expect(response).toMatchObject({ status: 418, isForeign: false });
  expect([response.header("content-type"), response.header("x-b")]).toEqual([
    "text/plain",
    undefined,
  ]);
  expect(response.headerLines("x-a")).toEqual(["1", "2"]);
  const opts = { tooLong: () => new MsbError("MSB_ERR_INTERNAL", "x"), what: "x" };
  expect((await readBody(response, 3, opts)).toString()).toBe("tea");
  expect(seen[0]!.headers).toMatchObject({
    accept: "z",
    authorization: "Basic q",
    "accept-encoding": "identity",
  });
});

test("a form is posted", async () => {
  const { connections, answer, seen } = mockConnections();
  answer("https://a.b/token", {}, "POST");
  const form = new URLSearchParams({ a: "b c&d" });
  discard(await exchange(connections, asked("https://a.b/token", { form })));
  expect(seen[0]).toMatchObject({ method: "POST", body: "a=b+c%26d" });
  answer("https://a.b/token", redirect("https://a.b/other"), "POST");
  await expect(exchange(connections, asked("https://a.b/token", { form }))).rejects.toMatchObject({
    code: "MSB_ERR_REGISTRY",
    message: expect.stringContaining("redirects a POST") as string,
  });
});

describe("a redirect", () => {
  it("is followed by path, with the credentials while the origin is the same", async () => {
    const { connections, answer, seen } = mockConnections();
    answer("https://a.b/1", redirect("2"));
    answer("https://a.b/2", redirect("https://c.d/3"));
    answer("https://c.d/3", redirect("https://a.b/4"));
    answer("https://a.b/4", { body: "x" });
    const response = await exchange(connections, asked("https://a.b/1", { authorization: "q" }));
    expect(response).toMatchObject({ status: 200, isForeign: true });
    expect(response.url.href).toBe("https://a.b/4");
    expect(seen.map(({ headers }) => headers["authorization"])).toEqual([
      "q",
      "q",
      undefined,
      undefined,
    ]);
    discard(response);
  });

  it("to another port is another origin", async () => {
    const { connections, answer, seen } = mockConnections();
    answer("https://a.b/1", redirect("https://a.b:8443/2"));
    answer("https://a.b:8443/2", {});
    discard(await exchange(connections, asked("https://a.b/1", { authorization: "q" })));
    expect(seen[1]!.headers["authorization"]).toBeUndefined();
  });

  it("without a target is an answer like any other", async () => {
    const { connections, answer } = mockConnections();
    answer("https://a.b/1", { status: 307 });
    expect((await exchange(connections, asked("https://a.b/1"))).status).toBe(307);
  });
});

describe("plain HTTP", () => {
  const outcome = async (from: string, to: string, allowPlainHttp: boolean) => {
    const { connections, answer } = mockConnections();
    answer(from, redirect(to));
    answer(to, { body: "x" });
    try {
      discard(await exchange(connections, asked(from, { allowPlainHttp })));
      return "followed";
    } catch (error) {
      if (isMsbError(error, "MSB_ERR_REGISTRY")) return "refused";
      throw error;
    }
  };

  it.each([
    // Nothing leads from https to http, but on this machine.
    ["https://a.b/1", "http://a.b/2", false, "refused"],
    ["https://a.b/1", "http://a.b/2", true, "refused"],
    ["https://a.b/1", "http://127.0.0.1/2", false, "refused"],
    ["https://127.0.0.1/1", "http://127.0.0.1/2", false, "followed"],
    // Plain HTTP leaves this machine only when that was asked for.
    ["http://127.0.0.1/1", "http://a.b/2", false, "refused"],
    ["http://127.0.0.1/1", "http://a.b/2", true, "followed"],
    ["http://127.0.0.1/1", "http://localhost/2", false, "followed"],
    ["http://a.b/1", "http://c.d/2", false, "refused"],
    ["http://a.b/1", "http://c.d/2", true, "followed"],
    ["http://a.b/1", "https://a.b/2", true, "followed"],
  ])("from %s to %s, allowed: %s, is %s", async (from, to, allowed, expected) => {
    expect(await outcome(from, to, allowed)).toBe(expected);
  });

  it("that another names is judged by who names it", async () => {
    const { connections } = mockConnections();
    const namedBy = new URL("https://a.b");
    const request = asked("http://127.0.0.1:80/token", { namedBy });
    await expect(exchange(connections, request)).rejects.toThrow(/must not lead to http/);
  });
});

test("a signal that was given before ends it before", async () => {
  const { connections, seen } = mockConnections();
  const request = asked("https://a.b/1", { signal: AbortSignal.abort() });
  await expect(exchange(connections, request)).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
  expect(seen).toEqual([]);
});

test("a body that is longer than it may be is an error, announced or not", async () => {
  const { connections, answer } = mockConnections();
  const tooLong = () => new MsbError("MSB_ERR_IMAGE_INVALID", "too long");
  for (const headers of [{}, { "content-length": "5" }]) {
    answer("https://a.b/1", { headers, body: "12345" });
    const response = await exchange(connections, asked("https://a.b/1"));
    await expect(readBody(response, 4, { tooLong, what: "x" })).rejects.toThrow("too long");
  }
});
