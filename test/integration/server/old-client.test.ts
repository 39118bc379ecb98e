/** The clients of `helpers/old-client.*` against a server that answers what a test says: what old programs see. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startHttpServer } from "../../helpers/http-server.js";
import * as javascript from "../../helpers/old-client.mjs";
import { OldClient, type OldSandbox } from "../../helpers/old-client.js";

interface Call {
  readonly method: string;
  readonly params: Record<string, unknown>;
  readonly id: string;
}

interface Answer {
  readonly status?: number;
  readonly type?: string;
  /** Sent as it is if it is text. */
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  /** Seconds before it comes. */
  readonly after?: number;
}

type Respond = (call: Call) => Answer | null;

const LINE = { stream: "stdout", text: "hi" };
const METRICS = {
  namespace: "default",
  name: "n1",
  running: true,
  cpu_usage: 1.5,
  memory_usage: 118,
  disk_usage: 4096,
};
const RESULTS: Record<string, unknown> = {
  "sandbox.start": "Sandbox n1 started successfully",
  "sandbox.stop": "Sandbox n1 stopped successfully",
  "sandbox.repl.run": { status: "success", language: "python", output: [LINE] },
  "sandbox.command.run": {
    command: "echo",
    args: ["hi"],
    exit_code: 0,
    success: true,
    output: [LINE],
  },
  "sandbox.metrics.get": { sandboxes: [METRICS] },
};

/** `respond` says what a call gets; null is what a good server says. */
async function serve(respond: Respond = () => null) {
  const calls: (Call & { raw: string; headers: IncomingMessage["headers"] })[] = [];
  const server = await startHttpServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const raw = Buffer.concat(chunks).toString();
      const call = JSON.parse(raw) as Call;
      calls.push({ ...call, raw, headers: request.headers });
      send(response, respond(call) ?? good(call));
    });
  });
  return { url: server.url, calls, server };
}

const good = (call: Call): Answer => ({
  body: { jsonrpc: "2.0", result: RESULTS[call.method], id: call.id },
});

function send(response: ServerResponse, answer: Answer): void {
  const { status = 200, type = "application/json", body = "", headers, after = 0 } = answer;
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const contentType = type === "" ? {} : { "content-type": type };
  const write = (): void =>
    void response.writeHead(status, { ...contentType, ...headers }).end(text);
  if (after === 0) write();
  else setTimeout(write, after * 1000);
}

const when =
  (method: string, answer: Answer): Respond =>
  (call) =>
    call.method === method ? answer : null;

/** One Python program for all tests. */
let program: OldClient;
beforeAll(() => {
  program = new OldClient("http://127.0.0.1:9");
});
afterAll(() => program[Symbol.asyncDispose]());

function python(url: string, key?: string): Pick<OldClient, "make" | "enter"> {
  const server = { server_url: url, ...(key === undefined ? {} : { api_key: key }) };
  return {
    make: (opts) => program.make({ ...server, ...opts }),
    enter: (opts) => program.enter({ ...server, ...opts }),
  };
}

/** A Python sandbox that has started, and then `method` is answered so. */
async function pythonSandbox(method: string, answer: Answer): Promise<OldSandbox> {
  const { url } = await serve(when(method, answer));
  const sandbox = await python(url).make({ name: "n1" });
  if (method !== "sandbox.start") await sandbox.start();
  return sandbox;
}

const CALLS: Record<string, (sandbox: OldSandbox) => Promise<unknown>> = {
  "sandbox.start": (sandbox) => sandbox.start(),
  "sandbox.stop": (sandbox) => sandbox.stop(),
  "sandbox.repl.run": (sandbox) => sandbox.run("1"),
  "sandbox.command.run": (sandbox) => sandbox.command("echo"),
  "sandbox.metrics.get": (sandbox) => sandbox.metrics(),
};
const METHODS = Object.keys(CALLS);
const PREFIX: Record<string, string> = {
  "sandbox.start": "Failed to start sandbox: ",
  "sandbox.stop": "Failed to stop sandbox: ",
  "sandbox.repl.run": "Failed to execute code: ",
  "sandbox.command.run": "Failed to execute command: ",
  "sandbox.metrics.get": "Failed to get sandbox metrics: Failed to get sandbox metrics: ",
};

describe("the old Python client", () => {
  it("sends the bodies and headers of its time", async () => {
    const { url, calls } = await serve();
    const client = python(url, "msb_key");
    const sandbox = await client.make({ name: "n1" });
    await sandbox.start({ memory: 1024, cpus: 2.5 });
    await sandbox.run("print('hi')");
    await sandbox.command("ls");
    await sandbox.command("ls", ["-l"], 5);
    await sandbox.metrics();
    await sandbox.stop();
    expect(calls.map(({ method, params }) => [method, params])).toEqual([
      [
        "sandbox.start",
        {
          namespace: "default",
          sandbox: "n1",
          config: { image: "microsandbox/python", memory: 1024, cpus: 2 },
        },
      ],
      [
        "sandbox.repl.run",
        { sandbox: "n1", namespace: "default", language: "python", code: "print('hi')" },
      ],
      ["sandbox.command.run", { sandbox: "n1", namespace: "default", command: "ls", args: [] }],
      [
        "sandbox.command.run",
        { sandbox: "n1", namespace: "default", command: "ls", args: ["-l"], timeout: 5 },
      ],
      ["sandbox.metrics.get", { namespace: "default", sandbox: "n1" }],
      ["sandbox.stop", { namespace: "default", sandbox: "n1" }],
    ]);
    for (const { raw, headers, id } of calls) {
      expect(Object.keys(JSON.parse(raw) as object)).toEqual(["jsonrpc", "method", "params", "id"]);
      expect(headers.authorization).toBe("Bearer msb_key");
      expect(headers["content-type"]).toBe("application/json");
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/);
    }
    expect(new Set(calls.map(({ id }) => id)).size).toBe(calls.length);
  });

  it("sends no key if there is none, names sandboxes itself, and knows what has started", async () => {
    const { url, calls } = await serve();
    const client = python(url);
    const sandbox = await client.make({ class: "NodeSandbox", namespace: "team" });
    expect(sandbox.name).toMatch(/^sandbox-[0-9a-f]{8}$/);
    await sandbox.stop();
    const early = { type: "RuntimeError", text: "Sandbox is not started. Call start() first." };
    await expect(sandbox.run("1")).rejects.toMatchObject(early);
    await expect(sandbox.command("ls")).rejects.toMatchObject(early);
    await expect(sandbox.metrics()).rejects.toMatchObject(early);
    expect(calls).toEqual([]);
    await sandbox.start();
    await sandbox.start();
    await sandbox.run("1");
    expect(calls.map(({ method }) => method)).toEqual(["sandbox.start", "sandbox.repl.run"]);
    expect(calls[0]!.headers.authorization).toBeUndefined();
    expect(calls[0]!.params["config"]).toMatchObject({ image: "microsandbox/node", cpus: 1 });
    expect(calls[1]!.params).toMatchObject({ language: "nodejs", namespace: "team" });
    expect(await sandbox.state()).toEqual({ is_started: true, has: [] });
  });

  it("rounds CPUs half to even", async () => {
    const { url, calls } = await serve();
    const client = python(url);
    for (const cpus of [0.5, 1.5, 2.5]) await (await client.make()).start({ cpus });
    const sent = calls.map(({ params }) => (params["config"] as { cpus: number }).cpus);
    expect(sent).toEqual([0, 2, 2]);
  });

  it("needs an HTTP session before it starts", async () => {
    const { url } = await serve();
    const sandbox = await python(url).make({ session: false });
    await expect(sandbox.start()).rejects.toMatchObject({ type: "AttributeError" });
  });

  it("reads results", async () => {
    const { url } = await serve();
    const sandbox = await python(url).make();
    await sandbox.start();
    const run = { status: "success", language: "python", has_error: false };
    expect(await sandbox.run("1")).toEqual({ ...run, output: "hi", error: "" });
    const command = { command: "echo", args: ["hi"], exit_code: 0, success: true };
    expect(await sandbox.command("echo", ["hi"])).toEqual({ ...command, output: "hi", error: "" });
    expect(await sandbox.metrics()).toEqual(METRICS);
    expect(await sandbox.metric("cpu")).toBe(1.5);
    expect(await sandbox.metric("memory")).toBe(118);
    expect(await sandbox.metric("disk")).toBe(4096);
    expect(await sandbox.metric("is_running")).toBe(true);
  });

  it.each(METHODS)("raises RuntimeError for %s unless the status is 200", async (method) => {
    for (const status of [201, 204, 400, 500]) {
      const body = status === 204 ? "" : '{"error":"no","code":1}';
      const sandbox = await pythonSandbox(method, { status, body });
      await expect(CALLS[method]!(sandbox)).rejects.toMatchObject({
        type: "RuntimeError",
        text: `${PREFIX[method]}${body}`,
      });
    }
  });

  it.each(METHODS)("raises the message of an error that comes with 200: %s", async (method) => {
    const body = { jsonrpc: "2.0", error: { code: -1, message: "why" }, id: "1" };
    await expect(CALLS[method]!(await pythonSandbox(method, { body }))).rejects.toMatchObject({
      type: "RuntimeError",
      text: `${PREFIX[method]}why`,
    });
  });

  it.each(METHODS)("follows a redirect that keeps the body: %s", async (method) => {
    const { url: target, calls } = await serve();
    const location = `${target}/api/v1/rpc`;
    const sandbox = await pythonSandbox(method, { status: 307, headers: { location } });
    await CALLS[method]!(sandbox);
    expect(calls.map((call) => call.method)).toEqual([method]);
  });

  it("says so when the server cannot be talked to", async () => {
    const talking = "Failed to communicate with Microsandbox server: ";
    const prefixes: Record<string, string> = {
      ...PREFIX,
      "sandbox.start": talking,
      "sandbox.stop": talking,
      "sandbox.metrics.get": "Failed to get sandbox metrics: ",
    };
    for (const method of METHODS) {
      const sandbox = await pythonSandbox(method, { type: "text/plain", body: "ok" });
      const error = await CALLS[method]!(sandbox).catch((cause: unknown) => cause);
      expect(error).toMatchObject({ type: "RuntimeError" });
      const { text } = error as { text: string };
      expect(text.startsWith(prefixes[method]!)).toBe(true);
      expect(text.slice(prefixes[method]!.length)).toMatch(/^0, message='Attempt to decode JSON/);
    }
    const { url, server } = await serve();
    const sandbox = await python(url).make();
    server.server.closeAllConnections();
    await new Promise((resolve) => server.server.close(resolve));
    await expect(sandbox.start()).rejects.toThrow(`RuntimeError: ${talking}Cannot connect to host`);
  });

  it("gives a bare TimeoutError, and for metrics a RuntimeError without a reason", async () => {
    for (const method of METHODS) {
      const { url } = await serve(when(method, { after: 10, body: {} }));
      const sandbox = await python(url).make({ session_timeout: 1 });
      if (method !== "sandbox.start") await sandbox.start();
      const call =
        method === "sandbox.start" ? sandbox.start({ timeout: -29 }) : CALLS[method]!(sandbox);
      const isMetrics = method === "sandbox.metrics.get";
      await expect(call).rejects.toMatchObject({
        type: isMetrics ? "RuntimeError" : "TimeoutError",
        text: isMetrics ? "Failed to get sandbox metrics: " : "",
      });
    }
  });

  it("warns when a start timed out on the server, and takes the sandbox as started", async () => {
    const result = "Sandbox n1 was started, but timed out waiting for it to be fully running.";
    const sandbox = await pythonSandbox("sandbox.start", { body: { jsonrpc: "2.0", result } });
    const { warnings, error } = await sandbox.startAnswer();
    expect({ warnings, error }).toEqual({
      warnings: [`Sandbox start warning: ${result}`],
      error: undefined,
    });
    expect(await sandbox.state()).toMatchObject({ is_started: true });
  });

  const run = (result: unknown): unknown => ({ jsonrpc: "2.0", result, id: "1" });
  it.each<[string, string, Answer, string]>([
    [
      "error: null on success",
      "sandbox.start",
      { body: { result: "ok", error: null } },
      "TypeError",
    ],
    ["error as a string", "sandbox.repl.run", { body: { error: "no" } }, "TypeError"],
    ["an error without message", "sandbox.command.run", { body: { error: {} } }, "KeyError"],
    ["an empty body", "sandbox.stop", { body: "" }, "TypeError"],
    ["null", "sandbox.start", { body: "null" }, "TypeError"],
    ["an array", "sandbox.start", { body: [] }, "AttributeError"],
    ["an array", "sandbox.repl.run", { body: [] }, "AttributeError"],
    ["an array", "sandbox.command.run", { body: [] }, "AttributeError"],
    ["broken JSON", "sandbox.start", { body: "{" }, "JSONDecodeError"],
    ["no content type", "sandbox.start", { type: "", body: "{}" }, "RuntimeError"],
    ["output: null", "sandbox.repl.run", { body: run({ output: null }) }, "TypeError"],
    ["output: null", "sandbox.command.run", { body: run({ output: null }) }, "TypeError"],
    [
      "a line with text: null",
      "sandbox.repl.run",
      { body: run({ output: [{ stream: "stdout", text: null }] }) },
      "TypeError",
    ],
    ["a null result", "sandbox.metrics.get", { body: run(null) }, "RuntimeError"],
    ["a bare list", "sandbox.metrics.get", { body: run([METRICS]) }, "RuntimeError"],
    ["error: null", "sandbox.metrics.get", { body: { result: {}, error: null } }, "RuntimeError"],
  ])("breaks on %s for %s", async (_what, method, answer, type) => {
    await expect(CALLS[method]!(await pythonSandbox(method, answer))).rejects.toMatchObject({
      type,
    });
  });

  it("passes over what it does not know in output", async () => {
    const output = [
      "text",
      { stream: "stdout" },
      { text: "lost" },
      LINE,
      { stream: "stderr", text: "" },
    ];
    const sandbox = await pythonSandbox("sandbox.repl.run", { body: run({ output }) });
    expect(await sandbox.run("1")).toEqual({
      status: "unknown",
      language: "unknown",
      has_error: false,
      output: "hi",
      error: "",
    });
    const asText = await pythonSandbox("sandbox.repl.run", { body: run({ output: "hi" }) });
    expect(await asText.run("1")).toMatchObject({ output: "" });
  });

  it.each([[null], ["text"], [{}]])("takes %j for a result", async (result) => {
    const body = run(result);
    const command = await pythonSandbox("sandbox.command.run", { body });
    expect(await command.command("x")).toMatchObject({ exit_code: -1, success: false });
    const code = await pythonSandbox("sandbox.repl.run", { body });
    expect(await code.run("1")).toMatchObject({ status: "unknown", output: "" });
  });

  it("derives errors from the status and from standard error", async () => {
    const cases = [
      [{ status: "error", output: [] }, true],
      [{ status: "exception", output: [] }, true],
      [{ status: "success", output: [{ stream: "stderr", text: "x" }] }, true],
      [{ status: "ERROR", output: [LINE] }, false],
    ] as const;
    for (const [result, has_error] of cases) {
      const sandbox = await pythonSandbox("sandbox.repl.run", { body: run(result) });
      expect(await sandbox.run("1")).toMatchObject({ has_error });
    }
  });

  it("strips the end of output, not its beginning", async () => {
    const output = ["  a", "", "b  ", ""].map((text) => ({ stream: "stdout", text }));
    const sandbox = await pythonSandbox("sandbox.repl.run", { body: run({ output }) });
    expect((await sandbox.run("1")).output).toBe("  a\n\nb");
  });

  it("takes the first of several metrics, and none at all", async () => {
    const two = { sandboxes: [METRICS, { ...METRICS, name: "other" }] };
    expect(
      await (await pythonSandbox("sandbox.metrics.get", { body: run(two) })).metrics(),
    ).toEqual(METRICS);
    for (const result of [{ sandboxes: [] }, {}, { sandboxes: null }]) {
      const sandbox = await pythonSandbox("sandbox.metrics.get", { body: run(result) });
      expect(await sandbox.metrics()).toEqual({});
      expect(await sandbox.metric("cpu")).toBeNull();
      expect(await sandbox.metric("is_running")).toBe(false);
    }
  });

  it("stops at the end of its context, also after an exception, and not if the start failed", async () => {
    const { url, calls } = await serve();
    const client = python(url);
    await (await client.enter({ name: "n1" })).exit();
    await expect((await client.enter({ name: "n2" })).exit("mine")).rejects.toMatchObject({
      type: "ValueError",
      text: "mine",
    });
    expect(calls.map(({ method, params }) => `${method} ${params["sandbox"] as string}`)).toEqual([
      "sandbox.start n1",
      "sandbox.stop n1",
      "sandbox.start n2",
      "sandbox.stop n2",
    ]);
    const broken = await serve(when("sandbox.start", { status: 500, body: "no" }));
    await expect(python(broken.url).enter()).rejects.toThrow("Failed to start sandbox: no");
    expect(broken.calls.map(({ method }) => method)).toEqual(["sandbox.start"]);
  });

  it("puts a failed stop in the place of the body's exception", async () => {
    const { url } = await serve(when("sandbox.stop", { status: 500, body: "no" }));
    const sandbox = await python(url).enter();
    await expect(sandbox.exit("mine")).rejects.toThrow("RuntimeError: Failed to stop sandbox: no");
  });
});

describe("the old JavaScript client", () => {
  const started = (url: string): Promise<javascript.NodeSandbox> =>
    javascript.NodeSandbox.create({ serverUrl: url, name: "n1", cpus: 2.5, memory: 256 });

  it("sends the bodies of its time", async () => {
    const { url, calls } = await serve();
    const sandbox = await started(url);
    await sandbox.run("1", { timeout: 3 });
    await sandbox.command.run("ls", ["-l"], 5);
    expect(await sandbox.metrics.all()).toEqual(METRICS);
    await sandbox.stop();
    expect(calls.map(({ params }) => params)).toMatchObject([
      { config: { image: "microsandbox/node", memory: 256, cpus: 3 } },
      { language: "nodejs", code: "1", timeout: 3 },
      { command: "ls", args: ["-l"], timeout: 5 },
      { namespace: "default", sandbox: "n1" },
      { namespace: "default", sandbox: "n1" },
    ]);
  });

  it("takes any 2xx and any content type", async () => {
    const { url } = await serve((call) => ({ ...good(call), status: 201, type: "text/plain" }));
    const sandbox = await started(url);
    expect(await (await sandbox.run("1")).output()).toBe("hi");
  });

  it("puts its words before an error twice", async () => {
    const messages: Record<string, string> = {
      "sandbox.stop": "Failed to communicate with Microsandbox server: Failed to stop sandbox: no",
      "sandbox.repl.run": "Failed to execute code: Failed to execute code: no",
      "sandbox.command.run": "Failed to execute command: Failed to execute command: no",
      "sandbox.metrics.get": "Failed to get sandbox metrics: Failed to get sandbox metrics: no",
    };
    const calls: Record<string, (sandbox: javascript.NodeSandbox) => Promise<unknown>> = {
      "sandbox.stop": (sandbox) => sandbox.stop(),
      "sandbox.repl.run": (sandbox) => sandbox.run("1"),
      "sandbox.command.run": (sandbox) => sandbox.command.run("x"),
      "sandbox.metrics.get": (sandbox) => sandbox.metrics.cpu(),
    };
    for (const [method, message] of Object.entries(messages)) {
      const { url } = await serve(when(method, { status: 500, body: "no" }));
      await expect(calls[method]!(await started(url))).rejects.toThrow(message);
    }
  });

  it("hides a failed start that speaks of a timeout", async () => {
    const { url } = await serve(when("sandbox.start", { status: 500, body: "a timeout" }));
    await expect(started(url)).rejects.toThrow(
      /^Timed out waiting for sandbox to start after 180 seconds$/,
    );
    const other = await serve(when("sandbox.start", { status: 500, body: "no" }));
    await expect(started(other.url)).rejects.toThrow(
      "Failed to communicate with Microsandbox server: Failed to start sandbox: no",
    );
  });

  it("bears output: null, prints a null text, strips both ends, breaks on error: null", async () => {
    const answer = { body: { result: { output: null } } };
    const quiet = await started((await serve(when("sandbox.repl.run", answer))).url);
    expect(await (await quiet.run("1")).output()).toBe("");
    const output = ["  a", null, "b "].map((text) => ({ stream: "stdout", text }));
    const odd = { body: { result: { output } } };
    const loud = await started((await serve(when("sandbox.repl.run", odd))).url);
    expect(await (await loud.run("1")).output()).toBe("a\nnull\nb");
    const broken = { body: { result: {}, error: null } };
    const sandbox = await started((await serve(when("sandbox.repl.run", broken))).url);
    await expect(sandbox.run("1")).rejects.toThrow("Cannot read properties of null");
  });
});
