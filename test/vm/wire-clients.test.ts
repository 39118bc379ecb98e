/** Old clients, API keys and the Model Context Protocol, on sandboxes that really run. */
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { builtCli } from "../helpers/built-cli.js";
import * as javascript from "../helpers/old-client.mjs";
import { OldClient, type OldSandbox } from "../helpers/old-client.js";
import { ServerHome } from "../helpers/server-home.js";
import { TestServer } from "../helpers/server-process.js";
import { testDrivers } from "../helpers/vm-fixture.js";
import { rowsOf, SMALL, WireSandbox } from "../helpers/wire.js";

/** The emulated KVM host has no aiohttp: what it runs speaks plain HTTP or JavaScript. */
const ESSENTIAL = [
  "a JavaScript client's program works",
  "sandboxes are started, used and stopped by tools",
];

describe.each(testDrivers)("old programs under %s", (driver) => {
  let server: TestServer;
  let client: OldClient;
  beforeAll(async () => {
    server = await TestServer.start({ driver });
    // See ESSENTIAL.
    if (driver === "qemu") client = new OldClient(server.url);
  });
  afterAll(async () => {
    await client?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });
  const row = rowsOf(it, driver, ESSENTIAL);

  async function within(
    opts: Parameters<OldClient["enter"]>[0],
    use: (sandbox: OldSandbox) => Promise<void>,
  ): Promise<void> {
    const sandbox = await client.enter(opts);
    try {
      await use(sandbox);
    } finally {
      await sandbox.exit();
    }
  }

  row("the guide's first program works", () =>
    within({ name: "my-sandbox" }, async (sandbox) => {
      const execution = await sandbox.run("print('Hello, World!')");
      expect(execution).toEqual({
        status: "success",
        language: "python",
        has_error: false,
        output: "Hello, World!",
        error: "",
      });
    }),
  );

  row("the guide's programs of several lines work, and names last", () =>
    within({ name: "stateful" }, async (sandbox) => {
      const code =
        '\nimport math\nresult = math.sqrt(16)\nprint(f"Square root of 16 is: {result}")\n';
      expect((await sandbox.run(code)).output).toBe("Square root of 16 is: 4.0");
      await sandbox.run("x = 42");
      await sandbox.run("y = x * 2");
      expect((await sandbox.run("print(f'Result: {y}')")).output).toBe("Result: 84");
    }),
  );

  row("errors of code are seen, and the guide's sys.exit ends one call only", () =>
    within({ name: "error-handling" }, async (sandbox) => {
      const division = await sandbox.run("1/0");
      expect(division.has_error).toBe(true);
      expect(division.error).toContain("ZeroDivisionError: division by zero");
      const unknown = await sandbox.run("potentially_failing_code()");
      expect(unknown.error).toContain("NameError");
      const exited = await sandbox.run("print('Hello'); import sys; sys.exit(1)");
      expect(exited.output).toBe("Hello");
      expect((await sandbox.run("print('still here')")).output).toBe("still here");
    }),
  );

  row("files that code writes are there for commands, which fail as the guide says", () =>
    within({ name: "files" }, async (sandbox) => {
      await sandbox.run(
        "\nwith open('/tmp/test.txt', 'w') as f:\n    f.write('Hello from sandbox!')\n",
      );
      expect((await sandbox.command("cat", ["/tmp/test.txt"])).output).toBe("Hello from sandbox!");
      expect(await sandbox.command("ls")).toMatchObject({ success: true, exit_code: 0 });
      const missing = await sandbox.command("ls", ["/nonexistent"]);
      expect(missing).toMatchObject({ success: false, command: "ls", args: ["/nonexistent"] });
      expect(missing.error).toContain("No such file or directory");
      expect(missing.exit_code).toBeGreaterThan(0);
      const failed = /^RuntimeError: Failed to execute command: /;
      await expect(sandbox.command("sleep", ["10"], 2)).rejects.toThrow(failed);
      await expect(sandbox.command("nonexistent-command")).rejects.toThrow(failed);
      expect((await sandbox.command("echo", ["again"])).output).toBe("again");
    }),
  );

  row("the guide's life by hand and its metrics work", async () => {
    const sandbox = await client.make({ name: "my-manual" });
    try {
      await sandbox.start({ memory: 1024, cpus: 2.0 });
      expect((await sandbox.run("print('Hello, World!')")).output).toBe("Hello, World!");
      expect(await sandbox.metric<boolean>("is_running")).toBe(true);
      expect(await sandbox.metric("cpu")).toBeTypeOf("number");
      expect(await sandbox.metric<number>("memory")).toBeGreaterThan(0);
      expect(await sandbox.metric<number>("disk")).toBeGreaterThanOrEqual(0);
      expect(Object.keys(await sandbox.metrics()).toSorted()).toEqual([
        "cpu_usage",
        "disk_usage",
        "memory_usage",
        "name",
        "namespace",
        "running",
      ]);
      expect((await sandbox.command("nproc")).output).toBe("2");
    } finally {
      await sandbox.stop();
      await sandbox.close();
    }
  });

  row("JavaScript runs in a NodeSandbox", () =>
    within({ class: "NodeSandbox", name: "js-sandbox" }, async (sandbox) => {
      const hello = await sandbox.run("console.log('Hello from Node.js!');");
      expect(hello).toMatchObject({
        output: "Hello from Node.js!",
        language: "nodejs",
        has_error: false,
      });
      await sandbox.run("const answer = 42");
      expect((await sandbox.run("answer")).output).toBe("42");
      expect((await sandbox.run("nothing.here")).has_error).toBe(true);
    }),
  );

  row("several sandboxes of one program work at once", async () => {
    const names = ["a", "b", "c"];
    const sandboxes = await Promise.all(
      names.map((name) => client.enter({ name: `many-${name}` })),
    );
    const outputs = await Promise.all(
      sandboxes.map(async (sandbox, index) => {
        await sandbox.run(`mine = ${index}`);
        return (await sandbox.run("print(mine)")).output;
      }),
    );
    expect(outputs).toEqual(["0", "1", "2"]);
    await Promise.all(sandboxes.map((sandbox) => sandbox.exit()));
    expect(await server.home.settled([server.pid])).toEqual([]);
  });

  row("a connection that was idle for a while is used again", () =>
    within({ name: "idle" }, async (sandbox) => {
      for (const seconds of [5.5, 5.9, 6.0, 6.1]) {
        await delay(seconds * 1000);
        expect((await sandbox.command("echo", [`${seconds}`])).output).toBe(`${seconds}`);
      }
    }),
  );

  row("an error of the server reaches the program in its own words", async () => {
    const sandbox = await client.make({ name: "-wrong" });
    await expect(sandbox.start()).rejects.toMatchObject({
      type: "RuntimeError",
      text: expect.stringMatching(
        /^Failed to start sandbox: .*Sandbox name must start with an alphanumeric character/,
      ) as string,
    });
  });

  row(ESSENTIAL[0]!, async () => {
    const opts = { serverUrl: server.url, name: "script", cpus: 0.5, memory: 256 };
    const sandbox = await javascript.NodeSandbox.create(opts);
    await sandbox.run("let n = 20");
    expect(await (await sandbox.run("n * 2 + 2")).output()).toBe("42");
    const late = await sandbox.run("while (true) {}", { timeout: 2 });
    expect(await late.error()).toContain("Execution timed out after 2 seconds");
    const command = await sandbox.command.run("sh", ["-c", "echo out; echo err >&2; exit 2"]);
    expect(command).toMatchObject({ exitCode: 2, success: false });
    expect([await command.output(), await command.error()]).toEqual(["out", "err"]);
    expect(await sandbox.metrics.isRunning()).toBe(true);
    await sandbox.stop();
  });

  row(ESSENTIAL[1]!, async () => {
    const headers = { accept: "application/json, text/event-stream" };
    let id = 0;
    const ask = async <T>(method: string, params: object): Promise<T> => {
      const message = { jsonrpc: "2.0", id: ++id, method, params };
      const {
        status,
        body,
        headers: got,
      } = await server.post<{ result: T }>("/mcp", message, { headers });
      expect([status, got.get("content-type")]).toEqual([
        200,
        expect.stringMatching(/^application\/json/),
      ]);
      return body.result;
    };
    const tool = async (
      name: string,
      args: object,
    ): Promise<{ text: string; isError: boolean }> => {
      const result = await ask<{ content: { text: string }[]; isError?: boolean }>("tools/call", {
        name,
        arguments: args,
      });
      return { text: result.content[0]!.text, isError: result.isError ?? false };
    };
    const client_ = {
      protocolVersion: "2024-11-05",
      capabilities: {},
      clientInfo: { name: "t", version: "1" },
    };
    expect(await ask("initialize", client_)).toMatchObject({ protocolVersion: "2024-11-05" });
    const { tools } = await ask<{ tools: { name: string }[] }>("tools/list", {});
    expect(tools.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        "sandbox_start",
        "sandbox_stop",
        "sandbox_run_code",
        "sandbox_run_command",
        "sandbox_get_metrics",
      ]),
    );
    const key = { sandbox: "tool", namespace: "default" };
    const config = { image: "microsandbox/python", memory: 256, cpus: 1 };
    expect((await tool("sandbox_start", { ...key, config })).text).toBe(
      '"Sandbox tool started successfully"',
    );
    const code = await tool("sandbox_run_code", { ...key, language: "python", code: "print(1)" });
    expect(JSON.parse(code.text)).toEqual({
      language: "python",
      output: [{ stream: "stdout", text: "1" }],
      status: "success",
    });
    const command = await tool("sandbox_run_command", { ...key, command: "echo", args: ["a b"] });
    expect(JSON.parse(command.text)).toMatchObject({
      exit_code: 0,
      output: [{ stream: "stdout", text: "a b" }],
    });
    const metrics = await tool("sandbox_get_metrics", key);
    expect(JSON.parse(metrics.text)).toMatchObject({
      sandboxes: [{ name: "tool", running: true }],
    });
    expect((await tool("sandbox_stop", key)).text).toBe('"Sandbox tool stopped successfully"');
    const unknown = await tool("sandbox_stop", { ...key, sandbox: "nobody" });
    expect(unknown.isError).toBe(true);
    expect(unknown.text).toMatch(/^Error: Sandbox stop failed: .*nobody/);
  });

  row.check();
});

/** Server key, expiry in 2100, all namespaces: the example of the contract. */
const SERVER_KEY = "0123456789abcdefghijklmnopqrstuv";
const WORKED_KEY =
  "msb_eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTc1MDAwMDAwMCwibmFtZXNwYWNlIjoiKiJ9.Vca9Ei70bBqxvGeW1oOOoPNwhZESGD4DgnOMMBJCtrU";

describe.each(testDrivers)("a server with keys under %s", (driver) => {
  let home: ServerHome;
  let server: TestServer;
  beforeAll(async () => {
    home = await ServerHome.make();
    await writeFile(join(home.path, "server.key"), SERVER_KEY, { mode: 0o600 });
    server = await TestServer.start({ driver, home, auth: "keys" });
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await home?.[Symbol.asyncDispose]();
  });

  function keygen(...args: string[]): string {
    const output = execFileSync(process.execPath, [builtCli(), "server", "keygen", ...args], {
      env: { ...process.env, MSB_HOME: home.path },
      encoding: "utf8",
    });
    const [key] = /msb_[\w-]+\.[\w-]+\.[\w-]+/.exec(output) ?? [];
    if (key === undefined) throw new Error(`no key in: ${output}`);
    return key;
  }

  it("gives a key its namespace and no other, and nothing to whoever has none", async () => {
    const all = new WireSandbox(server, "one", "default", { key: WORKED_KEY });
    await all.start(SMALL);
    const teamKey = keygen("--namespace", "team", "--expire", "1h");
    const team = new WireSandbox(server, "one", "team", { key: teamKey });
    await team.start(SMALL);
    expect((await team.command("echo", ["mine"])).output).toEqual([
      { stream: "stdout", text: "mine" },
    ]);

    const status = async (method: string, params: unknown, key?: string): Promise<unknown[]> => {
      const answer = await server.rpc<{ code?: number }>(
        method,
        params,
        key === undefined ? {} : { key },
      );
      return [answer.status, answer.body.code];
    };
    for (const method of [
      "sandbox.start",
      "sandbox.stop",
      "sandbox.metrics.get",
      "sandbox.command.run",
    ]) {
      const params = { ...all.key, command: "true" };
      expect(await status(method, params)).toEqual([401, 1001]);
      expect(await status(method, params, "no-key-of-ours")).toEqual([401, 1001]);
      expect(await status(method, params, `${WORKED_KEY}x`)).toEqual([401, 1004]);
      expect(await status(method, params, teamKey)).toEqual([403, 3001]);
    }
    expect(await status("sandbox.metrics.get", { namespace: "*" }, teamKey)).toEqual([403, 3001]);
    expect(await status("sandbox.metrics.get", { namespace: "*" }, WORKED_KEY)).toEqual([
      200,
      undefined,
    ]);
    expect(await status("sandbox.nothing", {}, teamKey)).toEqual([400, 2001]);
    expect((await fetch(`${server.url}/api/v1/rpc`)).status).toBe(401);
    expect((await fetch(`${server.url}/api/v1/health`)).status).toBe(200);
    const tool = { jsonrpc: "2.0", id: 1, method: "tools/list", params: {} };
    const headers = { accept: "application/json, text/event-stream" };
    expect((await server.post("/mcp", tool, { headers })).status).toBe(401);
    expect((await server.post("/mcp", tool, { headers, key: teamKey })).status).toBe(200);
    await Promise.all([all.stop(), team.stop()]);
    expect(server.logTail()).not.toContain(WORKED_KEY.slice(40));
  });
});
