import { request } from "node:http";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { LATEST_PROTOCOL_VERSION } from "@modelcontextprotocol/sdk/types.js";
import { describe, expect, it, onTestFinished, test, vi } from "vitest";
import { deferred } from "../../../../src/util/async.js";
import { startMcpApp } from "../../../helpers/mcp-app.js";
import { fakeSandbox } from "../../../helpers/fake-sandboxes.js";

const CLIENT = { name: "test", version: "1" };
const key = { sandbox: "n1", namespace: "default" };

async function connected(url: string): Promise<Client> {
  const client = new Client(CLIENT);
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  onTestFinished(() => client.close());
  return client;
}

const initialize = (protocolVersion: string) => ({
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion, capabilities: {}, clientInfo: CLIENT },
});

describe("the official client", () => {
  it("connects with the current protocol and learns who is here", async () => {
    const { url } = await startMcpApp();
    const client = await connected(url);
    expect(client.getServerVersion()).toMatchObject({ name: "msb-ts", version: "1.2.3" });
    expect(client.getServerCapabilities()).toEqual({
      tools: { listChanged: false },
      prompts: { listChanged: false },
    });
    expect(client.getInstructions()).toContain("sandbox_start");
    await expect(client.ping()).resolves.toEqual({});
  });

  it("lists the five tools and the two prompts", async () => {
    const { url } = await startMcpApp();
    const client = await connected(url);
    const { tools, nextCursor } = await client.listTools();
    expect(nextCursor).toBeUndefined();
    expect(tools.map(({ name, inputSchema }) => [name, inputSchema.required])).toEqual([
      ["sandbox_start", ["sandbox", "namespace"]],
      ["sandbox_stop", ["sandbox", "namespace"]],
      ["sandbox_run_code", ["sandbox", "namespace", "code", "language"]],
      ["sandbox_run_command", ["sandbox", "namespace", "command"]],
      ["sandbox_get_metrics", ["namespace"]],
    ]);
    for (const tool of tools) {
      expect(tool.description).toMatch(/^.{60,}\.$/s);
      expect(typeof tool.annotations?.destructiveHint).toBe("boolean");
    }
    const { prompts } = await client.listPrompts();
    expect(prompts.map(({ name }) => name)).toEqual([
      "create_python_sandbox",
      "create_node_sandbox",
    ]);
    for (const prompt of prompts) {
      expect(prompt.arguments?.map((argument) => [argument.name, argument.required])).toEqual([
        ["sandbox_name", true],
        ["namespace", true],
      ]);
    }
  });

  it("calls a tool and gets a prompt", async () => {
    const { url, sandboxes } = await startMcpApp({ start: async (asked) => fakeSandbox(asked) });
    const client = await connected(url);
    const config = { image: "alpine:3.20", memory: 256 };
    const result = await client.callTool({ name: "sandbox_start", arguments: { ...key, config } });
    expect(result.content).toEqual([{ type: "text", text: '"Sandbox n1 started successfully"' }]);
    expect(sandboxes.calls).toEqual([
      ["start", { namespace: "default", name: "n1" }, { image: "alpine:3.20", memoryMiB: 256 }],
    ]);
    const prompt = await client.getPrompt({
      name: "create_python_sandbox",
      arguments: { sandbox_name: "mine", namespace: "team" },
    });
    const [message] = prompt.messages;
    const text = message?.content.type === "text" ? message.content.text : "";
    for (const part of ["sandbox_start", '"mine"', '"team"', "microsandbox/python", "512"]) {
      expect(text).toContain(part);
    }
  });

  it("makes many calls at once, each with its own answer", async () => {
    const { url } = await startMcpApp({
      runCommand: async (_key, { command }) => ({
        exitCode: 0,
        signal: null,
        oomKilled: false,
        lines: [{ stream: "stdout", text: command }],
      }),
    });
    const client = await connected(url);
    const names = Array.from({ length: 20 }, (_, index) => `program-${index}`);
    const results = await Promise.all(
      names.map((command) =>
        client.callTool({ name: "sandbox_run_command", arguments: { ...key, command } }),
      ),
    );
    for (const [index, name] of names.entries()) {
      expect(JSON.stringify(results[index])).toContain(`\\"text\\": \\"${name}\\"`);
    }
  });
});

describe("the version", () => {
  it.each([LATEST_PROTOCOL_VERSION, "2025-06-18", "2025-03-26", "2024-11-05"])(
    "%s is taken as it was asked for",
    async (version) => {
      const { post } = await startMcpApp();
      const response = await post(initialize(version));
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toMatch(/^application\/json/);
      expect(response.headers.get("mcp-session-id")).toBeNull();
      expect(await response.json()).toMatchObject({
        jsonrpc: "2.0",
        id: 1,
        result: { protocolVersion: version },
      });
    },
  );

  it("that nobody knows is answered with the current one", async () => {
    const { post } = await startMcpApp();
    expect(await (await post(initialize("1999-01-01"))).json()).toMatchObject({
      result: { protocolVersion: LATEST_PROTOCOL_VERSION },
    });
  });

  it("in the header must be one that is known", async () => {
    const { post } = await startMcpApp();
    const ping = { jsonrpc: "2.0", id: 1, method: "ping" };
    const headers = (version: string) => ({
      "content-type": "application/json",
      "mcp-protocol-version": version,
    });
    expect((await post(ping, headers("2025-06-18"))).status).toBe(200);
    expect((await post(ping, headers("1999-01-01"))).status).toBe(400);
  });
});

describe("a client of the old server", () => {
  const json = { "content-type": "application/json" };

  it.each([{}, { accept: "*/*" }, { accept: "application/json" }, { accept: "text/html" }])(
    "gets JSON when it accepts %j",
    async (accept: Record<string, string>) => {
      const { post } = await startMcpApp();
      const response = await post(
        { jsonrpc: "2.0", id: "x", method: "ping" },
        { ...json, ...accept },
      );
      expect(response.status).toBe(200);
      expect(await response.json()).toEqual({ jsonrpc: "2.0", id: "x", result: {} });
    },
  );

  it("may list tools before anything else, for there are no sessions", async () => {
    const { call } = await startMcpApp();
    expect(await call("tools/list")).toMatchObject({ id: 7, result: { tools: { length: 5 } } });
    expect(await call("prompts/list", {})).toMatchObject({ result: { prompts: { length: 2 } } });
  });

  it("gets an empty answer to a notification: 202, and 200 when it says that it is of the first version", async () => {
    const { post } = await startMcpApp();
    const notification = { jsonrpc: "2.0", method: "notifications/initialized" };
    for (const [version, status] of [
      [undefined, 202],
      ["2025-03-26", 202],
      ["2024-11-05", 200],
    ] as const) {
      const header: Record<string, string> =
        version === undefined ? {} : { "mcp-protocol-version": version };
      const response = await post(notification, { ...json, ...header });
      expect(response.status).toBe(status);
      expect(await response.text()).toBe("");
    }
  });

  it("may send several messages at once", async () => {
    const { post } = await startMcpApp();
    const response = await post([
      { jsonrpc: "2.0", id: 1, method: "ping" },
      { jsonrpc: "2.0", method: "notifications/initialized" },
      { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } },
      { jsonrpc: "2.0", id: 2, method: "nothing" },
    ]);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject([
      { id: 1, result: {} },
      { id: 2, error: { code: -32601 } },
    ]);
  });
});

describe("what is wrong with a request is an error with the status 200", () => {
  it.each([
    ["resources/list", {}, -32601, "Method not found: resources/list"],
    ["tools/call", undefined, -32602, "Parameters of tools/call: name is missing"],
    ["tools/call", { name: 3 }, -32602, "Parameters of tools/call: name: expected string"],
    ["tools/call", { name: "none" }, -32602, "Unknown tool: none"],
    ["tools/call", { name: "constructor" }, -32602, "Unknown tool: constructor"],
    ["prompts/get", {}, -32602, "Parameters of prompts/get: name is missing"],
    ["prompts/get", { name: "none" }, -32602, "Unknown prompt: none"],
    [
      "prompts/get",
      { name: "create_node_sandbox", arguments: { namespace: 1 } },
      -32602,
      "Arguments of create_node_sandbox: namespace: expected string",
    ],
  ])("%s %j", async (method, params, code, message) => {
    const { post } = await startMcpApp();
    const response = await post({ jsonrpc: "2.0", id: 7, method, params });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ jsonrpc: "2.0", id: 7, error: { code, message } });
  });
});

test("a prompt without arguments has names of its own", async () => {
  const { call } = await startMcpApp();
  const answer = JSON.stringify(await call("prompts/get", { name: "create_node_sandbox" }));
  for (const part of ["node-sandbox", "default", "microsandbox/node"]) {
    expect(answer).toContain(part);
  }
});

test.each([[{}], [5], ["null"], [[5]], [{ jsonrpc: "1.0", id: 1, method: "ping" }]])(
  "%j is no message, and that is the answer",
  async (body) => {
    const { post } = await startMcpApp();
    const response = await post(body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ jsonrpc: "2.0", error: { code: -32700 } });
  },
);

test("a list of nothing asks for nothing", async () => {
  const { post } = await startMcpApp();
  const response = await post([]);
  expect(response.status).toBe(202);
  expect(await response.text()).toBe("");
});

test.each(["GET", "DELETE", "PUT", "PATCH"])("%s is not allowed", async (method) => {
  const { url } = await startMcpApp();
  const response = await fetch(url, { method, headers: { accept: "text/event-stream" } });
  expect(response.status).toBe(405);
  expect(response.headers.get("allow")).toBe("POST");
  expect(await response.text()).toBe("");
});

test("hooks of the application see the answer before it is sent, and its end", async () => {
  const seen: unknown[] = [];
  const ended = deferred<void>();
  const { post } = await startMcpApp(
    {},
    {
      prepare: (app) => {
        app.addHook("onSend", async (_request, reply, payload) => {
          seen.push(reply.statusCode, JSON.parse(payload as string));
          reply.header("x-hook", "here");
        });
        app.addHook("onResponse", async () => ended.resolve());
      },
    },
  );
  const response = await post({ jsonrpc: "2.0", id: 1, method: "ping" });
  await ended.promise;
  expect(response.headers.get("x-hook")).toBe("here");
  expect(seen).toEqual([200, { jsonrpc: "2.0", id: 1, result: {} }]);
});

test("who goes away before the answer ends the command that would give it, but not a start", async () => {
  const signals: (AbortSignal | undefined)[] = [];
  const asked = deferred<void>();
  const started = deferred<void>();
  const aborted = deferred<void>();
  const { url } = await startMcpApp({
    runCommand: (_key, _request, opts) => {
      signals.push(opts?.signal);
      opts?.signal?.addEventListener("abort", () => aborted.resolve());
      asked.resolve();
      return new Promise(() => {});
    },
    start: async (startKey, _spec, opts) => {
      signals.push(opts?.signal);
      started.resolve();
      return fakeSandbox(startKey);
    },
  });
  const send = (name: string, args: object) => {
    const sent = request(url, { method: "POST", headers: { "content-type": "application/json" } });
    sent.on("error", () => {});
    sent.end(
      JSON.stringify({
        jsonrpc: "2.0",
        id: 1,
        method: "tools/call",
        params: { name, arguments: { ...key, ...args } },
      }),
    );
    return sent;
  };
  const command = send("sandbox_run_command", { command: "sleep" });
  await asked.promise;
  command.destroy();
  await aborted.promise;
  expect(signals[0]?.aborted).toBe(true);
  const start = send("sandbox_start", {});
  await started.promise;
  start.destroy();
  expect(signals[1]).toBeUndefined();
  await vi.waitFor(async () => expect((await fetch(url)).status).toBe(405));
});
