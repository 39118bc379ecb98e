import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { PassThrough } from "node:stream";
import { describe, expect, it, onTestFinished } from "vitest";
import { runCli } from "../../../../src/cli/run.js";
import { stopReason } from "../../../../src/cli/error-report.js";
import { MsbError } from "../../../../src/errors.js";
import type { RunCodeRequest, RunEvent } from "../../../../src/kernel/run-types.js";
import { deferred } from "../../../../src/util/async.js";
import { testContext } from "../../../helpers/cli.js";
import { END } from "../../../helpers/fake-sandboxes.js";
import { sandboxCli } from "../../../helpers/sandbox-cli.js";
import { tempDir } from "../../../helpers/temp-dir.js";

const ENTER = "\r";
const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const UP = "\u001b[A";
/** What the terminal is told before a prompt: the first column, and the rest of the screen is empty. */
const FRESH = "\u001b[1G\u001b[0J";

interface SessionOpts {
  readonly words?: readonly string[];
  readonly home?: string;
  readonly run?: (request: RunCodeRequest) => AsyncIterable<RunEvent>;
}

/** Somebody types into a sandbox `lab`; without `run` code says what it was. */
async function session(opts: SessionOpts = {}) {
  const { env, sandboxes, argsOf } = await sandboxCli();
  sandboxes.add("default", "lab");
  sandboxes.run =
    opts.run ??
    async function* ({ code }) {
      yield { type: "stdout", text: `<${code}>\n` };
      yield END;
    };
  const stop = new AbortController();
  const home = opts.home ?? (await tempDir());
  const { ctx, stdout, stderr } = testContext({
    env: { ...env, MSB_HOME: home },
    terminals: ["stdin", "stdout", "stderr"],
    signal: stop.signal,
  });
  const stdin = ctx.stdin as PassThrough;
  const running = runCli(["code", "lab", ...(opts.words ?? [])], ctx);
  onTestFinished(async () => {
    stop.abort(stopReason("SIGTERM"));
    await running;
  });
  let seen = 0;
  /** Waits until a text has shown up behind the last one, then types. */
  const when = async (text: string, keys: string): Promise<void> => {
    await expect.poll(() => stdout.text().slice(seen)).toContain(text);
    seen = stdout.text().indexOf(text, seen) + text.length;
    stdin.write(keys);
  };
  const codes = () => argsOf("runCode").map(([, request]) => (request as RunCodeRequest).code);
  return { running, when, codes, stop, stdout, stderr, sandboxes, home, argsOf };
}

describe("the prompt of code", () => {
  it("runs entry by entry until Ctrl-D", async () => {
    const { running, when, codes, stdout } = await session();
    await when("Python in lab. Ctrl-D leaves, .help tells more.\n", `1 + 1${ENTER}`);
    await when("<1 + 1>\n", `  ${ENTER}x${ENTER}`);
    await when("<x>\n", CTRL_D);
    expect(await running).toBe(0);
    expect(codes()).toEqual(["1 + 1", "x"]);
    expect(stdout.text()).toMatch(/\n$/);
  });

  it("goes on with an entry that is not complete", async () => {
    const { when, codes } = await session();
    await when(">>> ", `def f():${ENTER}`);
    await when("... ", `  return (1,${ENTER}`);
    await when("... ", `2)${ENTER}`);
    await when("... ", ENTER);
    await expect.poll(codes).toEqual(["def f():\n  return (1,\n2)\n"]);
  });

  it("knows when JavaScript goes on", async () => {
    const { when, codes } = await session({ words: ["-l", "node"] });
    await when("JavaScript in lab", `function f() {${ENTER}`);
    await when("... ", `}${ENTER}`);
    await expect.poll(codes).toEqual(["function f() {\n}"]);
  });

  it("takes what is typed ahead and what is pasted in its order", async () => {
    const { when, codes } = await session();
    await when(">>> ", `1${ENTER}if x:${ENTER}  y${ENTER}${ENTER}2${ENTER}`);
    await expect.poll(codes).toEqual(["1", "if x:\n  y\n", "2"]);
  });

  it("interrupts what runs with Ctrl-C, and drops what was typed ahead", async () => {
    const interrupted = deferred<void>();
    const { when, sandboxes, codes, argsOf } = await session({
      run: async function* ({ code }) {
        yield { type: "stdout", text: `begun ${code}` };
        if (code === "slow") await interrupted.promise;
        yield { ...END, status: "error", reason: "interrupted" } as RunEvent;
      },
    });
    sandboxes.before.interruptCode = () => interrupted.resolve();
    await when(">>> ", `slow${ENTER}`);
    await when("begun slow", `ahead${ENTER}half${CTRL_C}`);
    await when("^C\n", "");
    await when(`\n${FRESH}>>> `, `next${ENTER}`);
    await when("begun next", "");
    expect(codes()).toEqual(["slow", "next"]);
    expect(argsOf("interruptCode")).toEqual([[{ namespace: "default", name: "lab" }, "python"]]);
  });

  it("leaves what the code has written in the line where Ctrl-C is pressed", async () => {
    const interrupted = deferred<void>();
    const { when, sandboxes, stdout } = await session({
      run: async function* () {
        yield { type: "stdout", text: "half a line" };
        await interrupted.promise;
        yield { ...END, status: "error", reason: "interrupted" } as RunEvent;
      },
    });
    sandboxes.before.interruptCode = () => interrupted.resolve();
    await when(">>> ", `slow${ENTER}`);
    await when("half a line", CTRL_C);
    await when(`\n${FRESH}>>> `, CTRL_D);
    expect(stdout.text()).toContain("half a line^C\n");
  });

  it("drops the line and the entry with Ctrl-C when nothing runs", async () => {
    const { when, codes, argsOf } = await session();
    await when(">>> ", `if x:${ENTER}`);
    await when("... ", `  half${CTRL_C}`);
    await when(`^C\n${FRESH}>>> `, `1${ENTER}`);
    await expect.poll(codes).toEqual(["1"]);
    expect(argsOf("interruptCode")).toEqual([]);
  });

  it("tells what fails and goes on", async () => {
    const { when, stderr, running } = await session({
      run: async function* ({ code }) {
        if (code === "bad") throw new MsbError("MSB_ERR_INVALID_STATE", "It does not run.");
        yield { type: "stdout", text: "well" };
        yield END;
      },
    });
    await when(">>> ", `bad${ENTER}`);
    await expect
      .poll(() => stderr.text())
      .toBe("msb-ts: It does not run. (MSB_ERR_INVALID_STATE)\n");
    await when(">>> ", `good${ENTER}`);
    await when("well\n", `.exit${ENTER}`);
    expect(await running).toBe(0);
  });

  it("hands its options on with each entry, and helps", async () => {
    const { when, argsOf } = await session({ words: ["--timeout", "5s", "--context", "python"] });
    await when(">>> ", `.help${ENTER}`);
    await when("Ctrl-C interrupts", `1${ENTER}`);
    await when("<1>", "");
    expect(argsOf("runCode")[0]![1]).toEqual({
      language: "python",
      code: "1",
      timeoutMs: 5_000,
      contextId: "python",
    });
  });

  it("remembers what was typed before, in a file for its user only", async () => {
    const home = await tempDir();
    await mkdir(home, { recursive: true });
    await writeFile(join(home, "history-python"), "last\nfirst\n");
    const { when, running, codes } = await session({ home });
    await when(">>> ", UP + ENTER);
    await when("<last>", `new${ENTER}`);
    await when("<new>", CTRL_D);
    await running;
    expect(codes()).toEqual(["last", "new"]);
    expect(await readFile(join(home, "history-python"), "utf8")).toBe("new\nlast\nfirst\n");
  });

  it("ends when it is stopped", async () => {
    const { when, stop, running, home } = await session();
    await when(">>> ", `typed${ENTER}`);
    await when("<typed>\n", "");
    await when(">>> ", "");
    stop.abort(stopReason("SIGTERM"));
    expect(await running).toBe(143);
    expect(await readFile(join(home, "history-python"), "utf8")).toBe("typed\n");
  });
});
