import { beforeEach, describe, expect, it } from "vitest";
import { MsbError, Sandbox } from "../../../src/index.js";
import type { CommandEvent, StreamCommandRequest } from "../../../src/sandbox/service.js";
import { callsOf, collect, errorOf, KEY, sdkApp, type SdkApp } from "../../helpers/sdk.js";

type End = Extract<CommandEvent, { type: "end" }>;
const END: End = { type: "end", reason: "exited", exitCode: 0, signal: null, durationMs: 7 };
const out = (data: string | Uint8Array): CommandEvent => ({
  type: "stdout",
  data: Buffer.from(data),
});
const err = (data: string): CommandEvent => ({ type: "stderr", data: Buffer.from(data) });

let app: SdkApp;
let sandbox: Sandbox;
beforeEach(async () => {
  app = await sdkApp();
  app.sandboxes.add("default", "box");
  sandbox = await Sandbox.connect("box", { serverUrl: app.serverUrl });
});

function does(...events: CommandEvent[]): void {
  app.sandboxes.stream = async function* () {
    yield* events;
  };
}

/** Goes on until it is ended. */
function hangsAfter(...events: CommandEvent[]): void {
  app.sandboxes.stream = async function* (_request, { signal }) {
    yield* events;
    await new Promise((resolve) => signal?.addEventListener("abort", resolve));
  };
}

describe("command.run", () => {
  it("gives output, errors and the exit code", async () => {
    does(out("a\r\n"), err("e\n"), out("b\n\n"), { ...END, exitCode: 3 });
    const result = await sandbox.command.run("ls", ["-la", "/"]);
    expect(result).toMatchObject({
      command: "ls",
      args: ["-la", "/"],
      exitCode: 3,
      success: false,
      signal: null,
      reason: "exited",
      durationMs: 7,
    });
    expect(await result.output()).toBe("a\nb");
    expect(await result.error()).toBe("e");
    expect(Buffer.from(await result.bytes()).toString()).toBe("a\r\nb\n\n");
  });

  it("succeeds with 0, and has no arguments unless they are given", async () => {
    does(END);
    const result = await sandbox.command.run("true");
    expect(result).toMatchObject({ args: [], exitCode: 0, success: true });
    expect(await result.output()).toBe("");
    expect(callsOf(app)).toEqual([
      ["streamCommand", KEY, { command: "true", args: [], timeoutMs: 0 }, {}],
    ]);
  });

  it("gives bytes as they are, and text of characters that came in pieces", async () => {
    const bytes = Buffer.from("\uFEFF✓é");
    does(
      ...[...bytes].map((byte) => out(Uint8Array.of(byte))),
      out(Uint8Array.of(0xff, 0xe2)),
      END,
    );
    const pieces: string[] = [];
    const onStdout = (text: string): void => void pieces.push(text);
    const result = await sandbox.command.run("cat", ["x"], { onStdout });
    expect(Buffer.from(await result.bytes())).toEqual(
      Buffer.concat([bytes, Buffer.of(0xff, 0xe2)]),
    );
    expect(await result.output()).toBe("\uFEFF✓é\uFFFD\uFFFD");
    expect(pieces.join("")).toBe("\uFEFF✓é\uFFFD\uFFFD");
    expect(pieces).not.toContain("");
  });

  it("passes on how it is to be run", async () => {
    const stdin: unknown[] = [];
    app.sandboxes.stream = async function* (request: StreamCommandRequest) {
      stdin.push(Buffer.from(request.stdin ?? []).toString("latin1"));
      yield END;
    };
    const opts = { timeout: 2, env: { A: "1" }, workdir: "/srv", user: "nobody" };
    await sandbox.command.run("cat", [], { ...opts, stdin: "é" });
    await sandbox.command.run("cat", [], { stdin: Uint8Array.of(0, 255) });
    await sandbox.command.run("cat", [], { stdin: "" });
    expect(stdin).toEqual(["Ã©", "\u0000ÿ", ""]);
    expect(callsOf(app)[0]?.[2]).toMatchObject({
      command: "cat",
      timeoutMs: 2000,
      env: ["A=1"],
      workdir: "/srv",
      user: "nobody",
    });
  });

  it("says as a shell how a signal ended it", async () => {
    does({ ...END, reason: "killed", exitCode: null, signal: 15 });
    expect(await sandbox.command.run("sleep")).toMatchObject({
      exitCode: 143,
      signal: 15,
      success: false,
      reason: "killed",
    });
    does({ ...END, reason: "outOfMemory", exitCode: null, signal: 9 });
    expect(await sandbox.command.run("sleep")).toMatchObject({
      exitCode: 137,
      reason: "outOfMemory",
    });
  });

  it("throws after its timeout, with what it had written", async () => {
    does(out("half"), err("oh"), { ...END, reason: "timeout", exitCode: null, signal: 9 });
    const error = await errorOf(sandbox.command.run("sleep", ["10"], { timeout: 0.5 }));
    expect(error).toMatchObject({
      name: "TimeoutError",
      code: "MSB_ERR_EXEC_TIMEOUT",
      details: { command: "sleep", args: ["10"], timeoutMs: 500, stdout: "half", stderr: "oh" },
    });
    expect(error.message).toContain("sleep took longer than 0.5 s");
  });

  it("throws when it cannot be started", async () => {
    app.sandboxes.before.streamCommand = () => {
      throw new MsbError("MSB_ERR_EXEC_FAILED", "There is no program nope.");
    };
    expect(await errorOf(sandbox.command.run("nope"))).toMatchObject({
      name: "ExecutionError",
      message: "There is no program nope.",
    });
  });

  it("throws when it writes more than it may, and kills it", async () => {
    hangsAfter(out("12345"), err("6789"), out("x"));
    const error = await errorOf(sandbox.command.run("yes", [], { maxOutputBytes: 9 }));
    expect(error).toMatchObject({
      name: "LimitError",
      code: "MSB_ERR_OUTPUT_LIMIT",
      details: { maxOutputBytes: 9, stdout: "12345", stderr: "6789" },
    });
    expect(error.message).toContain("maxOutputBytes");
    await expect.poll(() => app.sandboxes.open).toBe(0);
  });

  it("kills it when it is aborted", async () => {
    hangsAfter(out("begun"));
    const abort = new AbortController();
    const opts = { signal: abort.signal, onStdout: () => abort.abort() };
    expect((await errorOf(sandbox.command.run("sleep", [], opts))).code).toBe("MSB_ERR_ABORTED");
    await expect.poll(() => app.sandboxes.open).toBe(0);
  });
});

describe("command.stream", () => {
  it("gives output as it comes, and a timeout as its end", async () => {
    const end: End = { ...END, reason: "timeout", exitCode: null, signal: 9 };
    does(out("a"), err("b"), out(Uint8Array.of(0xc3)), end);
    expect(await collect(sandbox.command.stream("x", ["y"], { timeout: 1 }))).toEqual([
      { type: "stdout", text: "a", bytes: Uint8Array.of(97) },
      { type: "stderr", text: "b", bytes: Uint8Array.of(98) },
      { type: "stdout", text: "", bytes: Uint8Array.of(0xc3) },
      { type: "stdout", text: "\uFFFD", bytes: new Uint8Array() },
      end,
    ]);
  });

  it("kills the command of a reader that stops", async () => {
    hangsAfter(out("a"));
    for await (const event of sandbox.command.stream("tail", ["-f"])) {
      expect(event.type).toBe("stdout");
      break;
    }
    await expect.poll(() => app.sandboxes.open).toBe(0);
  });
});
