import { beforeEach, describe, expect, it } from "vitest";
import { MsbError, NodeSandbox, PythonSandbox, Sandbox } from "../../../src/index.js";
import type { RunEvent } from "../../../src/kernel/run-types.js";
import { END } from "../../helpers/fake-sandboxes.js";
import { callsOf, collect, errorOf, KEY, sdkApp, type SdkApp } from "../../helpers/sdk.js";

let app: SdkApp;
let sandbox: PythonSandbox;
beforeEach(async () => {
  app = await sdkApp();
  app.sandboxes.add("default", "box");
  sandbox = await PythonSandbox.connect("box", { serverUrl: app.serverUrl });
});

function does(...events: RunEvent[]): void {
  app.sandboxes.run = async function* () {
    yield* events;
  };
}

const stdout = (text: string): RunEvent => ({ type: "stdout", text });
const stderr = (text: string): RunEvent => ({ type: "stderr", text });
const value = (text: string): RunEvent => ({ type: "result", result: { isValue: true, text } });
const ended = (end: Partial<Extract<RunEvent, { type: "end" }>>): RunEvent =>
  ({ ...END, ...end }) as RunEvent;

describe("run", () => {
  it("gives what was printed and what was echoed, in order", async () => {
    does(stdout("  a\n"), value("1"), stdout("b"), value("'x'"), stderr("warn\r\n"), END);
    const execution = await sandbox.run("code");
    expect(await execution.output()).toBe("  a\n1\nb'x'");
    expect(await execution.error()).toBe("warn");
    expect(execution.hasError()).toBe(false);
    expect(execution).toMatchObject({
      status: "success",
      language: "python",
      reason: "completed",
      durationMs: 5,
      stateLost: false,
      exception: null,
      text: "'x'",
    });
    expect(execution.results.map(({ text }) => text)).toEqual(["1", "'x'"]);
  });

  it("gives nothing for code that says nothing", async () => {
    const execution = await sandbox.run("");
    expect(await execution.output()).toBe("");
    expect(await execution.error()).toBe("");
    expect(execution).toMatchObject({ results: [], text: null });
  });

  it("gives values in all their forms, and says which were too large", async () => {
    const table = { isValue: true, text: "t", html: "<table>", json: { a: [1] } };
    const figure = { isValue: false, png: "iVBO" };
    const large = { isValue: true, omitted: { text: 9_000_000 } };
    does(...[table, figure, large].map((result): RunEvent => ({ type: "result", result })), END);
    const execution = await sandbox.run("code");
    expect(execution.results).toEqual([table, figure, large]);
    expect(execution.text).toBeNull();
    expect(await execution.output()).toBe("t\n[9000000 bytes of a value were left out: too many]");
  });

  it("gives code that fails as a result", async () => {
    const error = { name: "ZeroDivisionError", value: "division by zero", traceback: ["Tr", "Ze"] };
    does(
      stderr("Tr\nZe\n"),
      { type: "error", error },
      ended({ status: "error", reason: "exception" }),
    );
    const execution = await sandbox.run("1/0");
    expect(execution.hasError()).toBe(true);
    expect(execution).toMatchObject({ status: "error", reason: "exception", exception: error });
    expect(await execution.error()).toBe("Tr\nZe");
  });

  it("says how code ended that cannot have said it itself", async () => {
    does(stderr("half"), ended({ status: "error", reason: "timeout", stateLost: true }));
    const execution = await sandbox.run("while True: pass", { timeout: 1.5 });
    expect(await execution.error()).toBe(
      "half\nError: Execution timed out after 1.5 seconds\n" +
        "Error: A new interpreter was started; all its state was lost",
    );
    expect(execution).toMatchObject({ status: "error", reason: "timeout", stateLost: true });
    expect(callsOf(app)).toEqual([
      ["runCode", KEY, { language: "python", code: "while True: pass", timeoutMs: 1500 }, {}],
    ]);
  });

  it("tells of everything as it comes", async () => {
    const error = { name: "E", value: "v", traceback: [] };
    does(stdout("a"), stdout("b"), value("1"), stderr("e"), { type: "error", error }, END);
    const told: unknown[] = [];
    await sandbox.run("code", {
      onStdout: (text) => told.push(["out", text]),
      onStderr: (text) => told.push(["err", text]),
      onResult: ({ text }) => told.push(["result", text]),
      onError: ({ name }) => told.push(["error", name]),
    });
    expect(told).toEqual([
      ["out", "a"],
      ["out", "b"],
      ["result", "1"],
      ["err", "e"],
      ["error", "E"],
    ]);
  });

  it("runs in a context, by its object or its id", async () => {
    const context = await sandbox.contexts.create();
    await sandbox.run("1", { context });
    await sandbox.run("2", { context: "python" });
    expect(callsOf(app).slice(1)).toEqual([
      ["runCode", KEY, { language: "python", code: "1", timeoutMs: 0, contextId: context.id }, {}],
      ["runCode", KEY, { language: "python", code: "2", timeoutMs: 0, contextId: "python" }, {}],
    ]);
  });

  it("throws when it cannot be run", async () => {
    app.sandboxes.before.runCode = () => {
      throw new MsbError("MSB_ERR_KERNEL_UNAVAILABLE", "There is no python.");
    };
    expect(await errorOf(sandbox.run("1"))).toMatchObject({ name: "ExecutionError" });
  });

  it("throws what broke when it had begun", async () => {
    app.sandboxes.run = async function* () {
      yield stdout("a");
      throw new MsbError("MSB_ERR_VM_EXITED", "The microVM is gone.");
    };
    expect(await errorOf(sandbox.run("1"))).toMatchObject({ code: "MSB_ERR_VM_EXITED" });
  });

  it("ends its code when it is aborted", async () => {
    const abort = new AbortController();
    app.sandboxes.run = async function* (_request, { signal }) {
      yield stdout("begun");
      await new Promise((resolve) => signal?.addEventListener("abort", resolve));
    };
    const run = sandbox.run("1", { signal: abort.signal, onStdout: () => abort.abort() });
    expect((await errorOf(run)).code).toBe("MSB_ERR_ABORTED");
    await expect.poll(() => app.sandboxes.open).toBe(0);
  });

  it("ends its code when a callback throws, with what that threw", async () => {
    app.sandboxes.run = async function* (_request, { signal }) {
      yield stdout("begun");
      await new Promise((resolve) => signal?.addEventListener("abort", resolve));
    };
    const bug = new Error("a bug of the caller");
    const onStdout = (): never => {
      throw bug;
    };
    await expect(sandbox.run("1", { onStdout })).rejects.toBe(bug);
    await expect.poll(() => app.sandboxes.open).toBe(0);
  });
});

describe("runStream", () => {
  it("gives the events", async () => {
    does(stdout("a"), value("1"), END);
    expect(await collect(sandbox.runStream("code"))).toEqual([stdout("a"), value("1"), END]);
  });

  it("ends the code of a reader that stops", async () => {
    app.sandboxes.run = async function* (_request, { signal }) {
      yield stdout("a");
      await new Promise((resolve) => signal?.addEventListener("abort", resolve));
    };
    for await (const event of sandbox.runStream("code")) {
      expect(event).toEqual(stdout("a"));
      break;
    }
    await expect.poll(() => app.sandboxes.open).toBe(0);
  });
});

describe("languages", () => {
  const languages = (): unknown[] =>
    callsOf(app).map(([, , request]) => (request as { language: string }).language);

  it("are those of the class", async () => {
    const node = await NodeSandbox.connect("box", { serverUrl: app.serverUrl });
    expect((await node.run("1")).language).toBe("node");
    expect(node.language).toBe("node");
    await collect(node.runStream("1"));
    expect(languages()).toEqual(["node", "node"]);
  });

  it("are to be chosen when the class has none", async () => {
    const any = await Sandbox.connect("box", { serverUrl: app.serverUrl });
    await any.run("1");
    expect((await any.run("1", { language: "node" })).language).toBe("node");
    await collect(any.runStream("1", { language: "node" }));
    expect(languages()).toEqual(["python", "node", "node"]);
  });
});
