import { Value } from "@sinclair/typebox/value";
import { beforeEach, describe, expect, it } from "vitest";
import { SandboxView, StartRecord } from "../../../../src/api/sandboxes.js";
import { MsbError } from "../../../../src/errors.js";
import type { StartOpts } from "../../../../src/sandbox/service.js";
import { bearer, NAMESPACE_KEYS, type TestApp, testApp } from "../../../helpers/test-app.js";

const URL = "/api/v1/sandboxes";
const ONE = `${URL}/default/n1`;

let test: TestApp;
beforeEach(async () => {
  test = await testApp({ authenticator: NAMESPACE_KEYS });
});

function send(url: string, payload?: object, headers: Record<string, string> = bearer("*")) {
  return test.app.inject({
    method: "POST",
    url,
    headers,
    ...(payload === undefined ? {} : { payload }),
  });
}

describe("POST /api/v1/sandboxes", () => {
  it("creates what is asked for and says where it is", async () => {
    const spec = {
      image: "python",
      memoryMiB: 256,
      cpus: 2,
      diskMiB: 100,
      env: ["A=b=c"],
      workdir: "/w",
      user: "1000",
      labels: { team: "blue" },
      idleTimeoutMs: 1000,
      maxLifetimeMs: 5000,
    };
    const answer = await send(URL, { namespace: "default", name: "n1", ...spec });
    expect(answer.statusCode).toBe(201);
    expect(answer.headers["location"]).toBe(ONE);
    expect(Value.Check(SandboxView, answer.json())).toBe(true);
    expect(test.sandboxes.calls).toEqual([
      {
        method: "create",
        args: [{ namespace: "default", name: "n1" }, spec, { signal: expect.any(AbortSignal) }],
      },
    ]);
  });

  it("makes up a name, in the namespace of the key", async () => {
    const own = await send(URL, { image: "python" }, bearer("team"));
    expect(own.json()).toMatchObject({
      namespace: "team",
      name: expect.stringMatching(/^sandbox-[0-9a-f]{8}$/),
    });
    expect((await send(URL, { image: "python" })).json()).toMatchObject({
      namespace: "default",
    });
  });

  it.each([
    [{}, "image is missing"],
    [{ image: "" }, "image"],
    [{ image: "x", memoryMiB: "512" }, "memoryMiB: expected integer"],
    [{ image: "x", memoryMiB: 1.5 }, "memoryMiB"],
    [{ image: "x", cpus: 0 }, "cpus"],
    [{ image: "x", env: ["A"] }, "env.0"],
    [{ image: "x", env: ["=a"] }, "env.0"],
    [{ image: "x", memory: 5 }, "memory is not a known member"],
    [{ image: "x", name: "-x" }, "Sandbox name must start"],
    [{ image: "x", namespace: "*" }, "Wildcard namespace"],
    [{ image: "x", workdir: 1 }, "workdir: expected string"],
  ])("refuses %j", async (body, message) => {
    const answer = await send(URL, body);
    expect(answer.json()).toMatchObject({
      statusCode: 400,
      code: "MSB_ERR_INVALID_ARGUMENT",
      error: "Bad Request",
      message: expect.stringContaining(message),
      requestId: answer.headers["x-request-id"],
    });
    expect(test.sandboxes.calls).toEqual([]);
  });

  it.each([
    ["MSB_ERR_SANDBOX_EXISTS", 409],
    ["MSB_ERR_TOO_MANY_SANDBOXES", 429],
    ["MSB_ERR_IMAGE_INVALID", 422],
    ["MSB_ERR_NO_SPACE", 507],
    ["MSB_ERR_SHUTTING_DOWN", 503],
  ] as const)("answers %s with %i and its details", async (code, statusCode) => {
    test.sandboxes.before.create = () => {
      throw new MsbError(code, "why", { details: { some: 1 } });
    };
    expect((await send(URL, { image: "x" })).json()).toMatchObject({
      statusCode,
      code,
      message: "why",
      details: { some: 1 },
    });
  });
});

describe("POST …/start", () => {
  beforeEach(() => {
    test.sandboxes.add("default", "n1");
  });

  it("starts with what is stored, or with something new", async () => {
    expect((await send(`${ONE}/start`)).statusCode).toBe(200);
    expect((await send(`${ONE}/start`, { image: "node", cpus: 2 })).statusCode).toBe(200);
    expect(test.sandboxes.calls.map(({ args }) => args[1])).toEqual([
      null,
      { image: "node", cpus: 2 },
    ]);
  });
});

describe.each([
  ["create", URL, { namespace: "default", name: "n1", image: "python" }],
  ["start", `${ONE}/start`, { image: "python" }],
] as const)("%s with progress", (method, url, body) => {
  const layer = { id: "layer", label: "layer 1", totalBytes: 30 };

  /** Told of one layer, then of its end, unless that is an error. */
  function pulls(error?: MsbError): void {
    test.sandboxes.before[method] = async (_key: unknown, _spec: unknown, opts: StartOpts) => {
      opts.onProgress?.({ ...layer, state: "running", doneBytes: 10 });
      opts.onProgress?.({ ...layer, state: "running", doneBytes: 20 });
      await new Promise((resolve) => setTimeout(resolve, 20));
      if (error !== undefined) throw error;
      opts.onProgress?.({ ...layer, state: "done", doneBytes: 30 });
    };
  }

  const streamed = (accept: string) => send(url, body, { ...bearer("*"), accept });

  it("tells line by line how far the image is, and then the sandbox", async () => {
    pulls();
    const answer = await streamed("application/x-ndjson");
    expect(answer.statusCode).toBe(200);
    expect(answer.headers["content-type"]).toBe("application/x-ndjson; charset=utf-8");
    const lines = answer.body.trimEnd().split("\n");
    const records: unknown[] = lines.map((line) => JSON.parse(line));
    expect(records.every((record) => Value.Check(StartRecord, record))).toBe(true);
    expect(records).toMatchObject([
      { type: "progress", progress: { id: "layer", doneBytes: 20 } },
      { type: "progress", progress: { state: "done" } },
      { type: "done", sandbox: { namespace: "default", name: "n1", state: "running" } },
    ]);
  });

  it("tells it as server-sent events", async () => {
    pulls();
    const answer = await streamed("text/event-stream");
    expect(answer.headers["content-type"]).toBe("text/event-stream; charset=utf-8");
    expect(answer.body.match(/^event: .*$/gm)).toEqual([
      "event: progress",
      "event: progress",
      "event: done",
    ]);
  });

  it("has a status for what fails at once, and a last record for what fails later", async () => {
    const failure = new MsbError("MSB_ERR_TOO_MANY_SANDBOXES", "full");
    test.sandboxes.before[method] = () => {
      throw failure;
    };
    const atOnce = await streamed("application/x-ndjson");
    expect(atOnce.statusCode).toBe(429);
    expect(atOnce.headers["retry-after"]).toBe("5");
    pulls(failure);
    const later = await streamed("application/x-ndjson");
    expect(later.statusCode).toBe(200);
    expect(JSON.parse(later.body.trimEnd().split("\n").at(-1)!)).toEqual({
      type: "failure",
      error: { code: "MSB_ERR_TOO_MANY_SANDBOXES", message: "full", details: {} },
    });
  });

  it("is not for who accepts anything: that is the sandbox alone", async () => {
    const answer = await streamed("*/*");
    expect(Value.Check(SandboxView, answer.json())).toBe(true);
    expect(test.sandboxes.calls[0]?.args[2]).not.toHaveProperty("onProgress");
  });
});
