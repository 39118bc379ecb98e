import { describe, expect, it, test, vi } from "vitest";
import { MsbError } from "../../../../src/errors.js";
import type { RunEvent } from "../../../../src/kernel/run-types.js";
import type { SandboxService } from "../../../../src/sandbox/service.js";
import { callTool } from "../../../../src/server/mcp/call-tool.js";
import { RpcError } from "../../../../src/server/mcp/rpc-error.js";
import { fakeSandbox } from "../../../helpers/fake-sandboxes.js";
import {
  sandboxMetrics,
  type ScriptedSandboxes,
  scriptedSandboxes,
} from "../../../helpers/scripted-sandboxes.js";

const key = { sandbox: "n1", namespace: "default" };
const serviceKey = { namespace: "default", name: "n1" };

async function called(
  name: string,
  args: unknown,
  methods: Partial<SandboxService> = {},
  { namespace = "*", maxOutputBytes = 1000 } = {},
) {
  const sandboxes: ScriptedSandboxes = scriptedSandboxes(methods);
  const onInternalError = vi.fn<(error: unknown) => string>(
    () => "something is wrong in the server.",
  );
  const result = await callTool(name, args, {
    sandboxes,
    principal: { namespace, keyId: null },
    maxOutputBytes,
    signal: new AbortController().signal,
    onInternalError,
  });
  const [first, ...rest] = result.content;
  const text = first?.type === "text" ? first.text : "";
  return { result, text, rest, calls: sandboxes.calls, onInternalError };
}

async function* eventsOf(...events: RunEvent[]): AsyncGenerator<RunEvent> {
  yield* events;
}
const END = {
  type: "end",
  status: "success",
  reason: "completed",
  durationMs: 1,
  stateLost: false,
} as const;

describe("sandbox_start", () => {
  const start: SandboxService["start"] = async (asked) => fakeSandbox(asked);

  it("takes any image and all that a sandbox has", async () => {
    const { text, calls } = await called(
      "sandbox_start",
      {
        ...key,
        config: {
          image: "registry.example/a/b@sha256:00",
          memory: 2048,
          cpus: 2,
          envs: ["A=b"],
          workdir: "/srv",
          ports: [],
          depends_on: ["other"],
        },
      },
      { start },
    );
    expect(text).toBe('"Sandbox n1 started successfully"');
    const spec = {
      image: "registry.example/a/b@sha256:00",
      memoryMiB: 2048,
      cpus: 2,
      env: ["A=b"],
      workdir: "/srv",
    };
    expect(calls).toEqual([["start", serviceKey, spec]]);
  });

  it("without an image starts what is stored", async () => {
    for (const config of [undefined, {}, { memory: 256 }]) {
      const { calls } = await called("sandbox_start", { ...key, config }, { start });
      expect(calls).toEqual([["start", serviceKey, null]]);
    }
  });

  it.each(["ports", "volumes"])("refuses %s, which nobody would serve", async (name) => {
    const config = { image: "python", [name]: ["1:1"] };
    const { result, text, calls } = await called("sandbox_start", { ...key, config }, { start });
    expect(result.isError).toBe(true);
    expect(text).toMatch(
      new RegExp(`^Error: Sandbox start failed: config: ${name} are not supported: `),
    );
    expect(calls).toEqual([]);
  });
});

test("sandbox_stop stops", async () => {
  const stop: SandboxService["stop"] = async (asked) => fakeSandbox(asked);
  const { text, calls } = await called("sandbox_stop", key, { stop });
  expect(text).toBe('"Sandbox n1 stopped successfully"');
  expect(calls).toEqual([["stop", serviceKey]]);
});

describe("sandbox_run_code", () => {
  const code = { ...key, code: "print(1)", language: "python" };

  it("answers as the old server did, to the letter", async () => {
    const { text, calls } = await called("sandbox_run_code", code, {
      runCode: () => eventsOf({ type: "stdout", text: "1\n" }, END),
    });
    expect(text).toBe(
      '{\n  "language": "python",\n  "output": [\n    {\n      "stream": "stdout",\n      "text": "1"\n    }\n  ],\n' +
        '  "status": "success"\n}',
    );
    const request = { language: "python", code: "print(1)", timeoutMs: 300_000 };
    expect(calls).toEqual([["runCode", serviceKey, request]]);
  });

  it.each([
    ["node", "node"],
    ["nodejs", "node"],
    ["JavaScript", "node"],
    ["PYTHON", "python"],
  ])("knows %s, and repeats it as it came", async (language, known) => {
    const { text, calls } = await called(
      "sandbox_run_code",
      { ...code, language, timeout: 5 },
      { runCode: () => eventsOf(END) },
    );
    expect(JSON.parse(text)).toEqual({ language, output: [], status: "success" });
    expect(calls[0]).toEqual([
      "runCode",
      serviceKey,
      { language: known, code: code.code, timeoutMs: 5000 },
    ]);
  });

  it("shows pictures, one form of each", async () => {
    const { rest, result } = await called("sandbox_run_code", code, {
      runCode: () =>
        eventsOf(
          { type: "result", result: { isValue: false, png: "iVBO", jpeg: "/9j/", text: "<F>" } },
          { type: "result", result: { isValue: true, jpeg: "/9j/" } },
          { type: "result", result: { isValue: true, svg: "<svg/>" } },
          END,
        ),
    });
    expect(rest).toEqual([
      { type: "image", mimeType: "image/png", data: "iVBO" },
      { type: "image", mimeType: "image/jpeg", data: "/9j/" },
    ]);
    expect(result.isError).toBeUndefined();
  });

  it("gives an exception of the code as a result", async () => {
    const { result, text } = await called("sandbox_run_code", code, {
      runCode: () =>
        eventsOf(
          { type: "stderr", text: "ValueError\n" },
          { ...END, status: "error", reason: "exception" },
        ),
    });
    expect(result.isError).toBeUndefined();
    expect(JSON.parse(text)).toMatchObject({ status: "error" });
  });

  it("stops reading when there is too much, which interrupts the code", async () => {
    let isInterrupted = false;
    async function* endless(): AsyncGenerator<RunEvent> {
      try {
        for (;;) yield { type: "stdout", text: "x".repeat(100) };
      } finally {
        isInterrupted = true;
      }
    }
    const { result, text } = await called("sandbox_run_code", code, { runCode: endless });
    expect(isInterrupted).toBe(true);
    expect(result.isError).toBe(true);
    expect(text).toMatch(/^Error: Run code failed: .*more than 1000 bytes/);
    const picture = { type: "result", result: { isValue: true, png: "x".repeat(1001) } } as const;
    const large = await called("sandbox_run_code", code, { runCode: () => eventsOf(picture, END) });
    expect(large.result.isError).toBe(true);
  });
});

describe("sandbox_run_command", () => {
  it("gives exit code and output of a program, also of one that fails", async () => {
    const { text, result, calls } = await called(
      "sandbox_run_command",
      { ...key, command: "ls", args: ["/none"], timeout: 2 },
      {
        runCommand: async () => ({
          exitCode: 2,
          signal: null,
          oomKilled: false,
          lines: [{ stream: "stderr", text: "ls: no" }],
        }),
      },
    );
    expect(result.isError).toBeUndefined();
    expect(JSON.parse(text)).toEqual({
      command: "ls",
      args: ["/none"],
      exit_code: 2,
      success: false,
      output: [{ stream: "stderr", text: "ls: no" }],
    });
    expect(Object.keys(JSON.parse(text) as object)).toEqual([
      "args",
      "command",
      "exit_code",
      "output",
      "success",
    ]);
    const request = { command: "ls", args: ["/none"], timeoutMs: 2000 };
    expect(calls).toEqual([["runCommand", serviceKey, request]]);
  });

  it("has no arguments and five minutes unless told otherwise", async () => {
    const { calls } = await called(
      "sandbox_run_command",
      { ...key, command: "ls" },
      { runCommand: async () => ({ exitCode: 0, signal: null, oomKilled: false, lines: [] }) },
    );
    expect(calls[0]?.[2]).toEqual({ command: "ls", args: [], timeoutMs: 300_000 });
  });
});

describe("sandbox_get_metrics", () => {
  const keys = [
    { namespace: "a", name: "n1" },
    { namespace: "a", name: "n2" },
    { namespace: "b", name: "n1" },
  ];
  const methods: Partial<SandboxService> = {
    hasNamespace: (namespace) => namespace !== "none",
    list: ({ namespace } = {}) =>
      keys
        .filter((one) => namespace === undefined || one.namespace === namespace)
        .map((one) => fakeSandbox(one)),
    metrics: async (one) => {
      if (one.name !== "gone" && one.name !== "n2") return sandboxMetrics(one);
      throw new MsbError("MSB_ERR_SANDBOX_NOT_FOUND", `There is no sandbox ${one.name}.`);
    },
  };
  const found = async (args: object) => {
    const { text } = await called("sandbox_get_metrics", args, methods);
    const { sandboxes } = JSON.parse(text) as { sandboxes: { namespace: string; name: string }[] };
    return sandboxes.map((one) => `${one.namespace}/${one.name}`);
  };

  it("looks at one sandbox, at a namespace, or at all, without those that vanish meanwhile", async () => {
    expect(await found({ namespace: "a", sandbox: "n1" })).toEqual(["a/n1"]);
    expect(await found({ namespace: "a" })).toEqual(["a/n1"]);
    expect(await found({ namespace: "a", sandbox: null })).toEqual(["a/n1"]);
    expect(await found({ namespace: "*" })).toEqual(["a/n1", "b/n1"]);
    expect(await found({ namespace: "*", sandbox: "n1" })).toEqual(["a/n1", "b/n1"]);
    expect(await found({ namespace: "*", sandbox: "other" })).toEqual([]);
  });

  it.each([
    [{ namespace: "none" }, /^Error: Get metrics failed: There is no namespace none/],
    [{ namespace: "a", sandbox: "gone" }, /^Error: Get metrics failed: There is no sandbox gone/],
  ])("fails for %j", async (args, message) => {
    const { result, text } = await called("sandbox_get_metrics", args, methods);
    expect(result.isError).toBe(true);
    expect(text).toMatch(message);
  });
});

describe("a key for one namespace", () => {
  const mine = { namespace: "mine" };
  const stop: SandboxService["stop"] = async (asked) => fakeSandbox(asked);

  it("is for that in the arguments", async () => {
    const args = { sandbox: "n1", namespace: "mine" };
    expect((await called("sandbox_stop", args, { stop }, mine)).result.isError).toBeUndefined();
  });

  it.each([
    ["sandbox_start", { sandbox: "n1", namespace: "other" }],
    ["sandbox_stop", { sandbox: "n1", namespace: "other" }],
    ["sandbox_run_code", { sandbox: "n1", namespace: "other", code: "", language: "python" }],
    ["sandbox_run_command", { sandbox: "n1", namespace: "other", command: "ls" }],
    ["sandbox_get_metrics", { namespace: "other" }],
    ["sandbox_get_metrics", { namespace: "*" }],
  ])("cannot call %s with %j, and nothing is done", async (name, args) => {
    const { result, text, calls } = await called(name, args, { stop }, mine);
    expect(result.isError).toBe(true);
    expect(text).toContain("The key is for namespace mine");
    expect(calls).toEqual([]);
  });
});

describe("a failure", () => {
  const failing = (error: unknown): Partial<SandboxService> => ({
    start: () => Promise.reject(error),
  });

  it("of the sandbox is a result with its cause", async () => {
    const error = new MsbError("MSB_ERR_IMAGE_NOT_FOUND", "There is no image nope.");
    const { result, text, onInternalError } = await called("sandbox_start", key, failing(error));
    expect(result.isError).toBe(true);
    expect(text).toBe("Error: Sandbox start failed: There is no image nope.");
    expect(onInternalError).not.toHaveBeenCalled();
  });

  it("that nobody thought of is told to the log and not to the caller", async () => {
    const error = new TypeError("secret of the server");
    const { result, text, onInternalError } = await called("sandbox_start", key, failing(error));
    expect(result.isError).toBe(true);
    expect(text).toBe("Error: Sandbox start failed: something is wrong in the server.");
    expect(onInternalError).toHaveBeenCalledWith(error);
  });
});

describe("arguments of the wrong shape are the caller's error", () => {
  const code = { ...key, code: "1", language: "python" };
  it.each([
    ["sandbox_start", undefined, "sandbox is missing"],
    ["sandbox_start", [], "expected object"],
    ["sandbox_start", { sandbox: "n1" }, "namespace is missing"],
    ["sandbox_start", { ...key, sandbox: "-x" }, "sandbox: expected string to match"],
    ["sandbox_start", { ...key, sandbox: "" }, "sandbox: expected string"],
    ["sandbox_start", { ...key, sandbox: "x".repeat(64) }, "sandbox: expected string length"],
    ["sandbox_start", { ...key, namespace: "*" }, "namespace: expected string to match"],
    ["sandbox_start", { ...key, namespace: "../x" }, "namespace: expected string to match"],
    ["sandbox_start", { ...key, config: { memory: "512" } }, "config.memory: expected integer"],
    ["sandbox_start", { ...key, config: { cpus: 0 } }, "config.cpus: expected integer"],
    ["sandbox_start", { ...key, config: { envs: { A: "b" } } }, "config.envs: expected array"],
    ["sandbox_run_code", { ...code, code: 5 }, "code: expected string"],
    ["sandbox_run_code", { ...code, timeout: 0 }, "timeout: expected integer"],
    ["sandbox_run_code", { ...code, timeout: 1.5 }, "timeout: expected integer"],
    ["sandbox_run_code", { ...code, language: "ruby" }, 'The language "ruby" is not known'],
    ["sandbox_run_command", { ...key, command: "" }, "command: expected string"],
    ["sandbox_run_command", { ...key, command: "ls", args: "-l" }, "args: expected array"],
    ["sandbox_get_metrics", { namespace: "**" }, "namespace: expected string to match"],
  ])("%s %j", async (name, args, message) => {
    const error = await called(name, args).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(RpcError);
    expect(error).toMatchObject({
      code: -32602,
      message: expect.stringContaining(message) as string,
    });
  });
});
