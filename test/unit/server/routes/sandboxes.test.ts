import { Value } from "@sinclair/typebox/value";
import { beforeEach, describe, expect, it } from "vitest";
import { SandboxPage, SandboxView } from "../../../../src/api/sandboxes.js";
import { bearer, NAMESPACE_KEYS, type TestApp, testApp } from "../../../helpers/test-app.js";

const URL = "/api/v1/sandboxes";
const ONE = `${URL}/default/n1`;

let test: TestApp;
beforeEach(async () => {
  test = await testApp({ authenticator: NAMESPACE_KEYS });
});

type Method = "GET" | "POST" | "DELETE" | "PUT";

function send(method: Method, url: string, payload?: object, key = "*") {
  return test.app.inject({
    method,
    url,
    headers: bearer(key),
    ...(payload === undefined ? {} : { payload }),
  });
}

describe("GET /api/v1/sandboxes", () => {
  const names = async (query: string, key = "*"): Promise<string[]> => {
    const answer = await send("GET", `${URL}${query}`, undefined, key);
    const page = answer.json<{ sandboxes: { namespace: string; name: string }[] }>();
    expect(Value.Check(SandboxPage, page)).toBe(true);
    return page.sandboxes.map(({ namespace, name }) => `${namespace}/${name}`);
  };

  beforeEach(() => {
    const { spec } = test.sandboxes.add("b", "n2");
    test.sandboxes.add("b", "n1", {
      state: "stopped",
      spec: { ...spec, labels: { x: "a=b", y: "1" } },
    });
    test.sandboxes.add("a", "n3", { state: "failed", spec: { ...spec, labels: { x: "a=b" } } });
  });

  it("is sorted, and filtered by namespace, states and labels", async () => {
    expect(await names("")).toEqual(["a/n3", "b/n1", "b/n2"]);
    expect(await names("?namespace=b")).toEqual(["b/n1", "b/n2"]);
    expect(await names("?state=failed")).toEqual(["a/n3"]);
    expect(await names("?state=failed&state=running")).toEqual(["a/n3", "b/n2"]);
    expect(await names("?label=x=a=b")).toEqual(["a/n3", "b/n1"]);
    expect(await names("?label=x=a=b&label=y=1")).toEqual(["b/n1"]);
  });

  describe("comes in pages", () => {
    interface Page {
      readonly nextCursor: string | null;
      readonly sandboxes: readonly { readonly namespace: string; readonly name: string }[];
    }

    /** All pages of `limit`, one after the other; `between` is called after each but the last. */
    async function pages(
      query: string,
      { limit, between, key }: { limit: number; between?: (page: number) => void; key?: string },
    ): Promise<string[][]> {
      const all: string[][] = [];
      let cursor = "";
      for (;;) {
        const answer = await send("GET", `${URL}?limit=${limit}${query}${cursor}`, undefined, key);
        const { sandboxes, nextCursor } = answer.json<Page>();
        all.push(sandboxes.map(({ namespace, name }) => `${namespace}/${name}`));
        if (nextCursor === null) return all;
        between?.(all.length);
        cursor = `&cursor=${encodeURIComponent(nextCursor)}`;
      }
    }

    it("of the size that was asked for, the last one without a cursor", async () => {
      expect(await pages("", { limit: 2 })).toEqual([["a/n3", "b/n1"], ["b/n2"]]);
      expect(await pages("", { limit: 3 })).toEqual([["a/n3", "b/n1", "b/n2"]]);
      expect(await pages("", { limit: 1 })).toEqual([["a/n3"], ["b/n1"], ["b/n2"]]);
      expect(await pages("&namespace=none", { limit: 1 })).toEqual([[]]);
    });

    it("of what was filtered, and of the key's namespace", async () => {
      expect(await pages("&label=x=a=b", { limit: 1 })).toEqual([["a/n3"], ["b/n1"]]);
      expect(await pages("", { limit: 1, key: "b" })).toEqual([["b/n1"], ["b/n2"]]);
    });

    it("that go on behind a sandbox that was removed, and have no new one before it", async () => {
      const between = (page: number): void => {
        if (page !== 1) return;
        test.sandboxes.stored.delete("b/n1");
        test.sandboxes.add("a", "n0");
        test.sandboxes.add("c", "n0");
      };
      expect(await pages("", { limit: 2, between })).toEqual([
        ["a/n3", "b/n1"],
        ["b/n2", "c/n0"],
      ]);
    });

    it("that end when all that was left is removed", async () => {
      const between = (): void => test.sandboxes.stored.clear();
      expect(await pages("", { limit: 2, between })).toEqual([["a/n3", "b/n1"], []]);
    });

    it("that have what is there all the time once, whatever comes and goes", async () => {
      test.sandboxes.stored.clear();
      const two = (number: number): string => String(number).padStart(2, "0");
      const lasting = Array.from({ length: 20 }, (_, index) => `ns/keep-${two(index)}`);
      for (const name of lasting) test.sandboxes.add("ns", name.slice(3));
      for (let index = 0; index < 20; index++) test.sandboxes.add("ns", `gone-${two(index)}`);
      for (let index = 0; index < 20; index++) test.sandboxes.add("ns", `keep-${two(index)}-gone`);
      const between = (page: number): void => {
        for (const name of [`gone-${two(page)}`, `keep-${two(20 - page)}-gone`]) {
          test.sandboxes.stored.delete(`ns/${name}`);
        }
        test.sandboxes.add("ns", `a-${two(page)}`);
        test.sandboxes.add("ns", `keep-${two(page)}-new`);
      };
      for (const limit of [1, 3, 7]) {
        const seen = (await pages("", { limit, between })).flat();
        expect(seen).toEqual([...new Set(seen)]);
        expect(seen.filter((name) => lasting.includes(name))).toEqual(lasting);
      }
    });

    it("begun with a key of another namespace are no way into it", async () => {
      const first = await send("GET", `${URL}?limit=1`);
      const { nextCursor } = first.json<Page>();
      const answer = await send("GET", `${URL}?cursor=${nextCursor}`, undefined, "a");
      expect(answer.json()).toEqual({ sandboxes: [], nextCursor: null });
    });
  });

  it.each([
    "?limit=0",
    "?limit=1001",
    "?limit=x",
    "?state=gone",
    "?label=x",
    "?cursor=x",
    "?nope=1",
  ])("refuses %s", async (query) => {
    expect((await send("GET", `${URL}${query}`)).json()).toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
    });
  });

  it("shows a key its own namespace only", async () => {
    expect(await names("", "a")).toEqual(["a/n3"]);
    expect(await names("?namespace=a", "a")).toEqual(["a/n3"]);
    expect((await send("GET", `${URL}?namespace=b`, undefined, "a")).statusCode).toBe(403);
    expect((await send("GET", `${URL}?namespace=*`, undefined, "a")).statusCode).toBe(403);
  });
});

describe("one sandbox", () => {
  beforeEach(() => {
    test.sandboxes.add("default", "n1");
  });

  it("is shown", async () => {
    const answer = await send("GET", ONE);
    expect(answer.json()).toMatchObject({ namespace: "default", name: "n1", state: "running" });
    expect(Value.Check(SandboxView, answer.json())).toBe(true);
  });

  it("is not there", async () => {
    expect((await send("GET", `${URL}/default/n9`)).json()).toMatchObject({
      statusCode: 404,
      code: "MSB_ERR_SANDBOX_NOT_FOUND",
      error: "Not Found",
    });
  });

  it("is stopped with the time it is given", async () => {
    expect((await send("POST", `${ONE}/stop`, { graceMs: 7 })).json()).toMatchObject({
      state: "stopped",
    });
    expect((await send("POST", `${ONE}/stop`)).statusCode).toBe(200);
    expect(test.sandboxes.calls.map(({ args }) => args[1])).toEqual([{ graceMs: 7 }, {}]);
  });

  it("is removed, with force when it runs", async () => {
    expect((await send("DELETE", ONE)).json()).toMatchObject({ code: "MSB_ERR_INVALID_STATE" });
    const answer = await send("DELETE", `${ONE}?force=true`);
    expect([answer.statusCode, answer.body]).toEqual([204, ""]);
    expect(test.sandboxes.stored.size).toBe(0);
  });

  it("tells its metrics", async () => {
    expect((await send("GET", `${ONE}/metrics`)).json()).toMatchObject({
      running: true,
      cpuPercent: 12.5,
    });
  });

  it.each([
    ["GET", ""],
    ["DELETE", ""],
    ["POST", "/start"],
    ["POST", "/stop"],
    ["GET", "/metrics"],
    ["GET", "/logs"],
    ["GET", "/contexts"],
    ["POST", "/contexts"],
    ["POST", "/contexts/python/restart"],
    ["POST", "/contexts/python/interrupt"],
    ["DELETE", "/contexts/python"],
    ["POST", "/run"],
  ] as const)("is for keys of its namespace: %s …%s", async (method, path) => {
    const bodies: Record<string, object> = {
      "/run": { language: "python", code: "1" },
      "/contexts": { language: "python" },
    };
    const payload = method === "POST" ? bodies[path] : undefined;
    const answer = await send(method, `${ONE}${path}`, payload, "team");
    expect(answer.json()).toMatchObject({ statusCode: 403, code: "MSB_ERR_ACCESS_DENIED" });
    expect(test.sandboxes.calls).toEqual([]);
    expect((await test.app.inject({ method, url: `${ONE}${path}` })).statusCode).toBe(401);
  });

  it("has a name that could be one", async () => {
    expect((await send("GET", `${URL}/default/-x`)).json()).toMatchObject({ statusCode: 400 });
    expect((await send("GET", `${URL}/default/..%2f..%2fx`)).json()).toMatchObject({
      statusCode: 400,
    });
    expect((await send("GET", `${URL}/default/${"x".repeat(100)}`)).json()).toMatchObject({
      statusCode: 400,
    });
  });

  it("is named in the lines of the log, and a key is in none", async () => {
    await send("GET", ONE, undefined, "default");
    const line = test.log.map((text) => JSON.parse(text)).find(({ msg }) => msg === "request");
    expect(line).toMatchObject({ namespace: "default", sandbox: "n1", statusCode: 200 });
    expect(line.requestId).toMatch(/^[0-9a-f-]{36}$/);
    test.app.log.info({ req: { headers: bearer("default") }, headers: bearer("default") }, "x");
    expect(test.log.join("")).not.toContain("msb_");
    expect(test.log.join("")).toContain("[redacted]");
  });
});

describe("contexts", () => {
  beforeEach(() => {
    test.sandboxes.add("default", "n1");
  });

  it("are listed, created, restarted, interrupted, deleted", async () => {
    const contexts = `${ONE}/contexts`;
    const created = await send("POST", contexts, { language: "node", env: ["A=1"], workdir: "/w" });
    expect(created.statusCode).toBe(201);
    expect(created.json()).toMatchObject({ id: "c1", language: "node", env: ["A=1"] });
    expect((await send("GET", contexts)).json()).toMatchObject({
      contexts: [{ id: "python" }, { id: "c1" }],
    });
    expect((await send("POST", `${contexts}/c1/restart`)).json()).toMatchObject({
      state: "absent",
    });
    expect((await send("POST", `${contexts}/c1/interrupt`)).json()).toEqual({ interrupted: true });
    expect((await send("DELETE", `${contexts}/c1`)).statusCode).toBe(204);
    expect((await send("POST", `${contexts}/c1/restart`)).json()).toMatchObject({
      code: "MSB_ERR_CONTEXT_NOT_FOUND",
    });
  });

  it("are of a language that is known", async () => {
    expect((await send("POST", `${ONE}/contexts`, { language: "ruby" })).json()).toMatchObject({
      message: expect.stringContaining("language must be one of python, node"),
    });
  });
});
