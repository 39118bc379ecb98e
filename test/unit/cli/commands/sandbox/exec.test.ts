import { describe, expect, it } from "vitest";
import { stopReason } from "../../../../../src/cli/error-report.js";
import { MsbError } from "../../../../../src/errors.js";
import type { CommandEvent } from "../../../../../src/sandbox/service.js";
import { EXITED } from "../../../../helpers/fake-sandboxes.js";
import { sandboxCli } from "../../../../helpers/sandbox-cli.js";
import type { TestAppOpts } from "../../../../helpers/test-app.js";

type End = Extract<CommandEvent, { type: "end" }>;

const out = (text: string): CommandEvent => ({ type: "stdout", data: Buffer.from(text) });
const err = (text: string): CommandEvent => ({ type: "stderr", data: Buffer.from(text) });
const ended = (facts: Partial<End>): End => ({ ...(EXITED as End), exitCode: null, ...facts });

/** A sandbox `lab` whose commands do `events`. */
async function labWith(events: readonly CommandEvent[], opts: TestAppOpts = {}) {
  const test = await sandboxCli(opts);
  test.sandboxes.add("default", "lab");
  test.sandboxes.stream = async function* () {
    yield* events;
  };
  return test;
}

describe("exec", () => {
  it("passes output on as it is, and hands the words on as they are", async () => {
    const { run, argsOf } = await labWith([out("a\u001b[1m"), err("b\n"), out("c"), EXITED]);
    const result = await run(["exec", "lab", "sh", "-c", "echo $1", "--json"]);
    expect(result).toMatchObject({ exitCode: 0, stdout: "a\u001b[1mc", stderr: "b\n" });
    expect(argsOf("streamCommand")[0]!.slice(0, 2)).toEqual([
      { namespace: "default", name: "lab" },
      { command: "sh", args: ["-c", "echo $1", "--json"], timeoutMs: 0 },
    ]);
  });

  it("hands every option on", async () => {
    const { run, argsOf } = await labWith([EXITED]);
    const words = "exec -e A=1 -e HERE -w /srv --user nobody --timeout 1m lab -- ls";
    await run(words.split(" "), { env: { HERE: "x" } });
    expect(argsOf("streamCommand")[0]![1]).toEqual({
      command: "ls",
      args: [],
      timeoutMs: 60_000,
      env: ["A=1", "HERE=x"],
      workdir: "/srv",
      user: "nobody",
    });
  });

  it.each([
    [{ exitCode: 3 }, 3, /^$/],
    [{ reason: "killed", signal: 15 }, 143, /^$/],
    [{ reason: "timeout", signal: 9 }, 124, /--timeout/],
    [{ reason: "outOfMemory", signal: 9 }, 137, /--memory/],
  ] as const)("that ends with %j has the exit code %i", async (facts, exitCode, note) => {
    const { run } = await labWith([out("x"), ended(facts)]);
    const result = await run(["exec", "lab", "x"]);
    expect([result.exitCode, result.stdout]).toEqual([exitCode, "x"]);
    expect(result.stderr).toMatch(note);
  });

  it("is one document with --json", async () => {
    const events = [out("a\u00e4"), err("b"), out("c\n"), ended({ exitCode: 7 })];
    const { run } = await labWith(events);
    const { exitCode, stdout, stderr } = await run(["exec", "--json", "lab", "x"]);
    expect(JSON.parse(stdout)).toEqual({
      reason: "exited",
      exitCode: 7,
      signal: null,
      durationMs: 5,
      stdout: "a\u00e4c\n",
      stderr: "b",
    });
    expect([exitCode, stderr]).toEqual([7, ""]);
  });

  it("sends standard input with -i, and none without", async () => {
    const { run, argsOf } = await labWith([EXITED]);
    await run(["exec", "-i", "lab", "cat"], { stdin: "input\n" });
    await run(["exec", "lab", "cat"], { stdin: "input\n" });
    const [first, second] = argsOf("streamCommand").map(([, request]) => request);
    expect(Buffer.from((first as { stdin: Uint8Array }).stdin).toString()).toBe("input\n");
    expect(second).not.toHaveProperty("stdin");
  });

  it("refuses more input than the server takes", async () => {
    const { run, argsOf } = await labWith([EXITED], { config: { maxBodyBytes: 1024 ** 2 } });
    const most = ((1024 ** 2 - 256 * 1024) * 3) / 4;
    const fits = await run(["exec", "-i", "lab", "cat"], { stdin: "x".repeat(most) });
    expect(fits.exitCode).toBe(0);
    const { exitCode, stderr } = await run(["exec", "-i", "lab", "cat"], {
      stdin: "x".repeat(most + 1),
    });
    expect(stderr).toMatch(
      /more than the \d+ bytes .*--max-body-mib.*\(MSB_ERR_REQUEST_TOO_LARGE\)/,
    );
    expect(exitCode).toBe(125);
    expect(argsOf("streamCommand")).toHaveLength(1);
  });

  it.each([
    ["MSB_ERR_SANDBOX_NOT_FOUND", {}, 125],
    ["MSB_ERR_INVALID_STATE", {}, 125],
    ["MSB_ERR_EXEC_FAILED", { operation: "execve", errno: 2 }, 127],
    ["MSB_ERR_EXEC_FAILED", { operation: "execve", errno: 13 }, 126],
  ] as const)("that cannot run for %s %j exits with %i", async (code, details, exitCode) => {
    const { run, sandboxes } = await labWith([EXITED]);
    sandboxes.stream = () => {
      throw new MsbError(code, "It cannot.", { details });
    };
    const result = await run(["exec", "lab", "x"]);
    expect(result.stderr).toBe(`msb-ts: It cannot. (${code})\n`);
    expect([result.exitCode, result.stdout]).toEqual([exitCode, ""]);
    const json = await run(["exec", "--json", "lab", "x"]);
    expect([json.exitCode, JSON.parse(json.stderr).error.code, json.stdout]).toEqual([
      exitCode,
      code,
      "",
    ]);
  });

  it("exits with 125 when there is no server", async () => {
    const { run } = await sandboxCli();
    const { exitCode, stderr } = await run([
      "exec",
      "--server-url",
      "http://127.0.0.1:1",
      "a",
      "b",
    ]);
    expect(stderr).toContain("(MSB_ERR_SERVER_UNREACHABLE)");
    expect(exitCode).toBe(125);
  });

  it("that is stopped kills the command", async () => {
    const { run, sandboxes } = await labWith([]);
    const stop = new AbortController();
    let endedWith: AbortSignal | undefined;
    sandboxes.stream = async function* (_request, { signal }) {
      endedWith = signal;
      yield out("begun\n");
      stop.abort(stopReason("SIGINT"));
      await new Promise((resolve) => signal!.addEventListener("abort", resolve, { once: true }));
    };
    const { exitCode, stderr } = await run(["exec", "lab", "x"], { signal: stop.signal });
    expect(stderr).toBe("msb-ts: Stopped by SIGINT. (MSB_ERR_ABORTED)\n");
    expect(exitCode).toBe(130);
    await expect.poll(() => [endedWith?.aborted, sandboxes.open]).toEqual([true, 0]);
  });

  it.each([
    [[], "missing required argument 'name'"],
    [["lab"], "missing required argument 'command'"],
    [["lab", "--"], "missing required argument 'command'"],
    [["a b", "x"], "A sandbox cannot be called"],
    [["-x", "lab", "ls"], "unknown option '-x'"],
  ])("refuses the words %j", async (words, message) => {
    const { run } = await sandboxCli();
    const { exitCode, stderr } = await run(["exec", ...words]);
    expect(stderr.toLowerCase()).toContain(message.toLowerCase());
    expect(exitCode).toBe(2);
  });
});
