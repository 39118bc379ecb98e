import { beforeEach, describe, expect, it } from "vitest";
import { MsbError } from "../../../../src/errors.js";
import type { RunEvent } from "../../../../src/kernel/run-types.js";
import { RPC_METHODS } from "../../../../src/server/rpc/methods.js";
import { END, type FakeSandboxes } from "../../../helpers/fake-sandboxes.js";
import { type TestApp, testApp } from "../../../helpers/test-app.js";

const target = { namespace: "default", sandbox: "n1" };
const key = { namespace: "default", name: "n1" };

let test: TestApp;
let sandboxes: FakeSandboxes;
beforeEach(async () => {
  test = await testApp({ config: { maxOutputBytes: 1000 } });
  sandboxes = test.sandboxes;
});

/** Status and result, or status and the flat error. */
async function call(method: string, params?: unknown): Promise<[status: number, body: unknown]> {
  const payload = { jsonrpc: "2.0", method, params, id: "1" };
  const answer = await test.app.inject({ method: "POST", url: "/api/v1/rpc", payload });
  const { result, error, code } = answer.json<{
    result?: unknown;
    error?: string;
    code?: number;
  }>();
  return [answer.statusCode, error === undefined ? result : `${code} ${error}`];
}

const failsWith = (status: number, text: string | RegExp): [number, unknown] => [
  status,
  typeof text === "string" ? text : expect.stringMatching(text),
];

const BAD_NAMES = [
  ["", "Sandbox name cannot be empty"],
  ["a".repeat(64), "Sandbox name cannot exceed 63 characters"],
  ["ä".repeat(32), "Sandbox name cannot exceed 63 characters"],
  ["*", "Sandbox name can only contain alphanumeric characters, hyphens, or underscores"],
  ["a/../b", "Sandbox name can only contain alphanumeric characters, hyphens, or underscores"],
  ["a\n", "Sandbox name can only contain alphanumeric characters, hyphens, or underscores"],
  ["-a", "Sandbox name must start with an alphanumeric character"],
  ["_a", "Sandbox name must start with an alphanumeric character"],
] as const;
const BAD_NAMESPACES = [
  ["", "Namespace cannot be empty"],
  ["a".repeat(64), "Namespace cannot exceed 63 characters"],
  ["*", "Wildcard namespace (*) is not valid for sandbox creation"],
  ["a b", "Namespace can only contain alphanumeric characters, hyphens, or underscores"],
  ["_a", "Namespace must start with an alphanumeric character"],
] as const;

describe.each(["sandbox.start", "sandbox.stop", "sandbox.metrics.get"])("names in %s", (method) => {
  it.each(BAD_NAMES)("refuses the sandbox %j", async (sandbox, text) => {
    const params = { ...target, sandbox, config: { image: "x" } };
    expect(await call(method, params)).toEqual(failsWith(400, `2001 ${text}`));
  });

  it.each(BAD_NAMESPACES.filter(([name]) => name !== "*" || method !== "sandbox.metrics.get"))(
    "refuses the namespace %j",
    async (namespace, text) => {
      const params = { ...target, namespace, config: { image: "x" } };
      expect(await call(method, params)).toEqual(failsWith(400, `2001 ${text}`));
    },
  );

  it.each([
    [undefined, "expected object"],
    [null, "expected object"],
    [[], "expected object"],
    [{ sandbox: "n1" }, "namespace is missing"],
    [{ ...target, namespace: 1 }, "namespace: expected string"],
    [{ ...target, sandbox: 1 }, /sandbox: expected/],
  ])("refuses the params %j", async (params, detail) => {
    const text = detail instanceof RegExp ? detail.source : detail;
    const [status, error] = await call(method, params);
    expect(status).toBe(400);
    expect(error).toMatch(new RegExp(`^2001 Invalid params for ${method}: .*${text}`));
  });
});

describe("sandbox.start", () => {
  it("starts with what is asked for and nothing else", async () => {
    const config = {
      image: "python",
      memory: 512,
      cpus: 2,
      envs: ["A=1"],
      workdir: "/w",
      exec: "x",
    };
    expect(await call("sandbox.start", { ...target, config })).toEqual([
      200,
      "Sandbox n1 started successfully",
    ]);
    expect(sandboxes.calls).toEqual([
      {
        method: "start",
        args: [
          key,
          { image: "python", memoryMiB: 512, cpus: 2, env: ["A=1"], workdir: "/w" },
          // It goes on without its client.
          {},
        ],
      },
    ]);
  });

  it("takes null for what is absent, and ignores what it does not know", async () => {
    const config = {
      image: "python",
      memory: null,
      cpus: null,
      envs: null,
      workdir: null,
      volumes: [],
      ports: null,
      depends_on: ["x"],
      scripts: { start: "x" },
      shell: "sh",
    };
    expect((await call("sandbox.start", { ...target, config }))[0]).toBe(200);
    expect(sandboxes.calls[0]?.args[1]).toEqual({ image: "python" });
  });

  it.each([{}, { config: null }, { config: {} }, { config: { memory: 9 } }])(
    "starts what is stored with %j",
    async (rest) => {
      sandboxes.add("default", "n1", { state: "stopped", vm: null });
      expect((await call("sandbox.start", { ...target, ...rest }))[0]).toBe(200);
      expect(sandboxes.calls[0]?.args[1]).toBeNull();
    },
  );

  it("says that nothing is stored", async () => {
    expect(await call("sandbox.start", target)).toEqual(
      failsWith(
        400,
        "2001 No configuration provided and no existing configuration found for sandbox 'n1'",
      ),
    );
    sandboxes.add("default", "other");
    expect(await call("sandbox.start", target)).toEqual(
      failsWith(400, "2001 Sandbox 'n1' not found in existing configuration"),
    );
  });

  it.each([
    [{ memory: 1.5 }, "config.memory"],
    [{ memory: -1 }, "config.memory"],
    [{ memory: 2 ** 32 }, "config.memory"],
    [{ memory: "512" }, "config.memory"],
    [{ memory: 0 }, "memory must be at least 1"],
    [{ cpus: 0.5 }, "config.cpus"],
    [{ cpus: 256 }, "config.cpus"],
    [{ cpus: 0 }, "cpus must be at least 1"],
    [{ image: 1 }, "config.image"],
    [{ envs: "A=1" }, "config.envs"],
    [{ envs: [1] }, "config.envs"],
    [{ workdir: 1 }, "config.workdir"],
    [{ volumes: ["/a:/b"] }, "volumes are not supported"],
    [{ ports: ["80:80"] }, "ports are not supported"],
    [{ ports: "80:80" }, "config.ports"],
  ])("refuses %j", async (config, detail) => {
    const params = { ...target, config: { image: "python", ...config } };
    const [status, error] = await call("sandbox.start", params);
    expect(status).toBe(400);
    expect(error).toContain(`2001 Invalid params for sandbox.start: ${detail}`);
    expect(sandboxes.calls).toEqual([]);
  });

  it.each([[[]], ["x"], [1]])("refuses the config %j", async (config) => {
    expect(await call("sandbox.start", { ...target, config })).toEqual(
      failsWith(400, /^2001 Invalid params for sandbox\.start: config/),
    );
  });

  it("has the word timeout in a failure only if it is one", async () => {
    const fail = (code: "MSB_ERR_REGISTRY_UNAVAILABLE" | "MSB_ERR_BOOT_TIMEOUT", text: string) => {
      sandboxes.before.start = () => {
        throw new MsbError(code, text);
      };
      return call("sandbox.start", { ...target, config: { image: "x" } });
    };
    expect(
      await fail("MSB_ERR_REGISTRY_UNAVAILABLE", "connect timeout, Timeout, ETIMEDOUT"),
    ).toEqual(failsWith(500, "5002 connect time-out, Time-out, ETIMEDOUT"));
    expect(await fail("MSB_ERR_BOOT_TIMEOUT", "boot timeout after 5 s")).toEqual(
      failsWith(500, "5002 boot timeout after 5 s"),
    );
  });

  it("keeps the word out of what only names it, as the sandbox", async () => {
    sandboxes.add("default", "other");
    const [, error] = await call("sandbox.start", { ...target, sandbox: "timeout-1" });
    expect(error).toBe("2001 Sandbox 'time-out-1' not found in existing configuration");
  });
});

describe("sandbox.stop", () => {
  it("stops, again and again", async () => {
    sandboxes.add("default", "n1");
    for (const _ of [1, 2]) {
      expect(await call("sandbox.stop", target)).toEqual([200, "Sandbox n1 stopped successfully"]);
    }
  });

  it("tells an unknown namespace from an unknown sandbox", async () => {
    expect(await call("sandbox.stop", target)).toEqual(
      failsWith(400, "2001 Namespace directory 'default' does not exist"),
    );
    sandboxes.add("default", "other");
    expect(await call("sandbox.stop", target)).toEqual(failsWith(500, /^5002 .*default\/n1/));
  });
});

describe("sandbox.metrics.get", () => {
  const running = {
    namespace: "default",
    name: "n1",
    running: true,
    cpu_usage: 12.5,
    memory_usage: 118,
    disk_usage: 10_485_760,
  };
  const stopped = {
    ...running,
    name: "n2",
    running: false,
    cpu_usage: null,
    memory_usage: null,
    disk_usage: null,
  };

  beforeEach(() => {
    sandboxes.add("default", "n1");
    sandboxes.add("default", "n2", { state: "stopped", vm: null });
    sandboxes.add("other", "n1");
  });

  it("gives one sandbox with exactly six members, whole numbers of them", async () => {
    expect(await call("sandbox.metrics.get", target)).toEqual([200, { sandboxes: [running] }]);
  });

  it("gives null for what does not run, whatever was measured", async () => {
    sandboxes.metricsOf = { memoryMiB: 3, cpuPercent: 1, diskBytes: 5 };
    expect(await call("sandbox.metrics.get", { ...target, sandbox: "n2" })).toEqual([
      200,
      { sandboxes: [stopped] },
    ]);
  });

  it.each([{ namespace: "default" }, { namespace: "default", sandbox: null }])(
    "gives all of a namespace for %j",
    async (params) => {
      expect(await call("sandbox.metrics.get", params)).toEqual([
        200,
        { sandboxes: [running, stopped] },
      ]);
    },
  );

  it("gives all of all namespaces for *, or those of one name", async () => {
    const other = { ...running, namespace: "other" };
    expect(await call("sandbox.metrics.get", { namespace: "*" })).toEqual([
      200,
      { sandboxes: [running, stopped, other] },
    ]);
    expect(await call("sandbox.metrics.get", { namespace: "*", sandbox: "n1" })).toEqual([
      200,
      { sandboxes: [running, other] },
    ]);
    expect(await call("sandbox.metrics.get", { namespace: "*", sandbox: "n9" })).toEqual([
      200,
      { sandboxes: [] },
    ]);
  });

  it("tells an unknown namespace from an unknown sandbox", async () => {
    expect(await call("sandbox.metrics.get", { namespace: "nope" })).toEqual(
      failsWith(400, "2001 Namespace directory 'nope' does not exist"),
    );
    expect(await call("sandbox.metrics.get", { ...target, sandbox: "n9" })).toEqual(
      failsWith(500, /^5002 .*n9/),
    );
  });

  it("leaves out what was removed since it was listed", async () => {
    sandboxes.before.metrics = async ({ name }: { name: string }) => {
      if (name === "n2") sandboxes.stored.delete("default/n2");
    };
    expect(await call("sandbox.metrics.get", { namespace: "default" })).toEqual([
      200,
      { sandboxes: [running] },
    ]);
  });
});

describe.each(["sandbox.repl.run", "sandbox.command.run"])("the target of %s", (method) => {
  it.each([
    undefined,
    null,
    [],
    "x",
    { sandbox: "n1" },
    { namespace: "default" },
    { ...target, sandbox: 1 },
  ])("must be there: %j", async (params) => {
    const [status, error] = await call(method, params);
    expect([status, error]).toEqual(
      failsWith(400, new RegExp(`^2001 Invalid params for ${method}: `)),
    );
  });

  it.each(["n9", "", "../x", "-"])("is not checked as a name: %j", async (sandbox) => {
    sandboxes.add("default", "n1");
    const params = { ...target, sandbox, language: "python", code: "1", command: "ls" };
    expect(await call(method, params)).toEqual(failsWith(500, /^5002 There is no sandbox/));
  });

  it("must run", async () => {
    sandboxes.add("default", "n1", { state: "stopped", vm: null });
    const params = { ...target, language: "python", code: "1", command: "ls" };
    expect(await call(method, params)).toEqual(failsWith(500, /^5002 Sandbox 'n1' is stopped/));
  });

  it.each([1.5, -1, "1", true])("takes no timeout %j", async (timeout) => {
    sandboxes.add("default", "n1");
    const params = { ...target, language: "python", code: "1", command: "ls", timeout };
    expect(await call(method, params)).toEqual(
      failsWith(500, new RegExp(`^5002 Invalid params for ${method}: timeout`)),
    );
  });
});

describe("sandbox.repl.run", () => {
  const events = (...given: RunEvent[]): void => {
    sandboxes.run = async function* () {
      yield* given;
    };
  };
  const run = (rest: object = {}) =>
    call("sandbox.repl.run", { ...target, language: "python", code: "x", ...rest });
  beforeEach(() => {
    sandboxes.add("default", "n1");
  });

  it.each([
    ["python", "python"],
    ["Python", "python"],
    ["node", "node"],
    ["NodeJS", "node"],
    ["javascript", "node"],
  ])("runs %s and says so in the same letters", async (language, kernel) => {
    expect(await run({ language })).toEqual([200, { status: "success", language, output: [] }]);
    expect(sandboxes.calls).toEqual([
      {
        method: "runCode",
        args: [
          key,
          { language: kernel, code: "x", timeoutMs: 0 },
          { signal: expect.any(AbortSignal) },
        ],
      },
    ]);
  });

  it.each([
    [{ language: "ruby" }, /^5002 Unsupported language: "ruby"/],
    [{ language: 1 }, /^5002 Invalid params for sandbox\.repl\.run: language/],
    [{ code: null }, /^5002 Invalid params for sandbox\.repl\.run: code/],
    [{ code: undefined }, /^5002 Invalid params for sandbox\.repl\.run: code is missing/],
  ])("fails with %j", async (rest, text) => {
    expect(await run(rest)).toEqual(failsWith(500, text));
  });

  it("gives lines in the order of arrival, values echoed", async () => {
    events(
      { type: "stdout", text: "a\nb" },
      { type: "stderr", text: "warn\n" },
      { type: "stdout", text: "c\r\n\n" },
      { type: "result", result: { isValue: true, text: "'two\nlines'" } },
      { type: "result", result: { isValue: false, png: "AA==" } },
      END,
    );
    expect(await run()).toEqual([
      200,
      {
        status: "success",
        language: "python",
        output: [
          { stream: "stdout", text: "a" },
          { stream: "stderr", text: "warn" },
          { stream: "stdout", text: "bc" },
          { stream: "stdout", text: "" },
          { stream: "stdout", text: "'two" },
          { stream: "stdout", text: "lines'" },
        ],
      },
    ]);
  });

  it("has status error after an exception", async () => {
    events(
      { type: "stderr", text: "ZeroDivisionError: division by zero\n" },
      {
        type: "error",
        error: { name: "ZeroDivisionError", value: "division by zero", traceback: [] },
      },
      { ...END, status: "error", reason: "exception" } as RunEvent,
    );
    expect(await run()).toEqual([
      200,
      {
        status: "error",
        language: "python",
        output: [{ stream: "stderr", text: "ZeroDivisionError: division by zero" }],
      },
    ]);
  });

  it("tells a timeout in a line of its own, after what there was", async () => {
    events({ type: "stdout", text: "so far" }, {
      ...END,
      status: "error",
      reason: "timeout",
    } as RunEvent);
    const [status, result] = await run({ timeout: 2 });
    expect(status).toBe(200);
    expect(result).toMatchObject({
      status: "error",
      output: [
        { stream: "stdout", text: "so far" },
        { stream: "stderr", text: "Error: Execution timed out after 2 seconds" },
      ],
    });
    expect(sandboxes.calls[0]?.args[1]).toMatchObject({ timeoutMs: 2000 });
  });

  it("runs nothing with a timeout of 0, and anything with null", async () => {
    expect(await run({ timeout: 0 })).toMatchObject([
      200,
      { output: [{ stream: "stderr", text: "Error: Execution timed out after 0 seconds" }] },
    ]);
    expect(sandboxes.calls).toEqual([]);
    expect((await run({ timeout: null }))[0]).toBe(200);
    expect((await run({ timeout: 1e12 }))[0]).toBe(200);
    expect(sandboxes.calls.map(({ args }) => (args[1] as { timeoutMs: number }).timeoutMs)).toEqual(
      [0, 2 ** 31 - 1],
    );
  });

  it("stops code that writes too much", async () => {
    sandboxes.run = async function* () {
      for (;;) yield { type: "stdout", text: "x".repeat(300) };
    };
    expect(await run()).toEqual(failsWith(500, /^5002 The code wrote more than 1000 bytes/));
    expect(sandboxes.open).toBe(0);
  });

  it("gives the real cause of a failure", async () => {
    sandboxes.before.runCode = () => {
      throw new MsbError("MSB_ERR_KERNEL_UNAVAILABLE", "There is no python3 in the image.");
    };
    expect(await run()).toEqual(failsWith(500, "5002 There is no python3 in the image."));
  });
});

describe("sandbox.command.run", () => {
  const run = (rest: object = {}) =>
    call("sandbox.command.run", { ...target, command: "ls", ...rest });
  beforeEach(() => {
    sandboxes.add("default", "n1");
  });

  it("gives code, lines, and what was asked", async () => {
    const lines = [{ stream: "stderr", text: "ls: cannot access" } as const];
    sandboxes.command = () => ({ exitCode: 2, signal: null, oomKilled: false, lines });
    expect(await run({ args: ["/x"], timeout: 5 })).toEqual([
      200,
      { command: "ls", args: ["/x"], exit_code: 2, success: false, output: lines },
    ]);
    expect(sandboxes.calls[0]?.args[1]).toEqual({ command: "ls", args: ["/x"], timeoutMs: 5000 });
  });

  it("has no arguments and no timeout when none are given", async () => {
    expect(await run()).toEqual([
      200,
      { command: "ls", args: [], exit_code: 0, success: true, output: [] },
    ]);
    expect(sandboxes.calls[0]?.args[1]).toEqual({ command: "ls", args: [], timeoutMs: 0 });
  });

  it("gives 1 for a signal", async () => {
    sandboxes.command = () => ({ exitCode: null, signal: 9, oomKilled: false, lines: [] });
    expect(await run()).toMatchObject([200, { exit_code: 1, success: false }]);
  });

  it.each([
    [{ command: 1 }, "command"],
    [{ command: undefined }, "command is missing"],
    [{ args: "x" }, "args"],
    [{ args: [1] }, "args"],
    [{ args: null }, "args"],
  ])("fails with %j", async (rest, detail) => {
    const [status, error] = await run(rest);
    expect(status).toBe(500);
    expect(error).toContain(`5002 Invalid params for sandbox.command.run: ${detail}`);
  });

  it("fails when its time is up, at once with 0", async () => {
    sandboxes.before.runCommand = () => {
      throw new MsbError("MSB_ERR_EXEC_TIMEOUT", "It ran too long.");
    };
    expect(await run({ timeout: 2 })).toEqual(
      failsWith(500, "5002 Command timeout after 2 seconds"),
    );
    sandboxes.calls.length = 0;
    expect(await run({ timeout: 0 })).toEqual(
      failsWith(500, "5002 Command timeout after 0 seconds"),
    );
    expect(sandboxes.calls).toEqual([]);
  });

  it("fails when there is no such program", async () => {
    sandboxes.before.runCommand = () => {
      throw new MsbError("MSB_ERR_EXEC_FAILED", "nosuch: not found");
    };
    expect(await run()).toEqual(failsWith(500, "5002 nosuch: not found"));
  });
});

it("has the five methods of the old server", () => {
  expect([...RPC_METHODS.keys()].toSorted()).toEqual([
    "sandbox.command.run",
    "sandbox.metrics.get",
    "sandbox.repl.run",
    "sandbox.start",
    "sandbox.stop",
  ]);
});
