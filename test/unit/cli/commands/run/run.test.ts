import type { EventEmitter } from "node:events";
import { describe, expect, it, vi } from "vitest";
import { Channel } from "../../../../../src/agent/frame.js";
import { stopReason } from "../../../../../src/cli/error-report.js";
import { runCli } from "../../../../../src/cli/run.js";
import { MsbError } from "../../../../../src/errors.js";
import { cli, type CliOpts, testContext } from "../../../../helpers/cli.js";
import { FakeRun } from "../../../../helpers/fake-run.js";

function ending(exit: Parameters<FakeRun["exit"]>[0], write: (run: FakeRun) => void = () => {}) {
  const run = new FakeRun();
  run.onStart = () => {
    write(run);
    run.exit(exit);
  };
  return run;
}

const msb = (run: FakeRun, words: string, opts: CliOpts = {}) =>
  cli(["run", ...words.split(" ")], { runOnce: run.start, ...opts });

describe("run", () => {
  it("passes both streams on as they are, and ends with the command's exit code", async () => {
    const run = ending({ exitCode: 3 }, () => {
      run.write("out\n");
      run.write("err\n", Channel.stderr);
    });
    expect(await msb(run, "alpine -- sh -c x")).toMatchObject({
      exitCode: 3,
      stdout: "out\n",
      stderr: "err\n",
    });
    expect(run.request).toEqual({ image: "alpine", command: ["sh", "-c", "x"], stdin: false });
    expect(run.ends).toEqual(["end"]);
  });

  it("ends with 128 and the number of the signal that ended the command", async () => {
    expect((await msb(ending({ signal: 15 }), "alpine")).exitCode).toBe(143);
    const oom = await msb(ending({ signal: 9, oomKilled: true }), "alpine");
    expect([oom.exitCode, oom.stderr]).toEqual([137, expect.stringContaining("--memory")]);
  });

  it("hands every option on", async () => {
    const run = ending({ exitCode: 0 });
    const words =
      "-m 2g --cpus 2 --disk 64m -e A=b -e B -e C -w /w -u app:app --entrypoint e --timeout 1.5m -i -t " +
      "--hypervisor qemu --pull never -q alpine";
    const env = { B: "from here", TERM: "vt100" };
    expect((await msb(run, words, { env, stdin: "", terminals: ["stdout"] })).exitCode).toBe(0);
    expect(run.request).toEqual({
      image: "alpine",
      command: [],
      memoryMiB: 2048,
      cpus: 2,
      diskMiB: 64,
      env: ["A=b", "B=from here"],
      workdir: "/w",
      user: "app:app",
      entrypoint: ["e"],
      timeoutMs: 90_000,
      stdin: true,
      pty: { cols: 80, rows: 24, term: "vt100" },
    });
    expect(run.opts).toMatchObject({ env, hypervisor: "qemu", pullPolicy: "never" });
  });

  it.each([
    ["alpine ls -la -V --json", ["ls", "-la", "-V", "--json"]],
    ["alpine -q -- ls --help", ["ls", "--help"]],
    ["-m 512 alpine ls -- x", ["ls", "--", "x"]],
  ])("leaves the command's own words alone: %s", async (words, command) => {
    const run = ending({ exitCode: 0 });
    expect((await msb(run, words)).exitCode).toBe(0);
    expect(run.request?.command).toEqual(command);
  });

  it("takes an empty entrypoint for none", async () => {
    const run = ending({ exitCode: 0 });
    await cli(["run", "--entrypoint", "", "alpine", "ls"], { runOnce: run.start });
    expect(run.request?.entrypoint).toEqual([]);
  });

  it("does not touch standard input unless it is asked to", async () => {
    const run = ending({ exitCode: 0 });
    await msb(run, "alpine", { stdin: "unread" });
    expect([run.input, run.isInputEnded]).toEqual([[], false]);
  });

  it("passes standard input on, and its end", async () => {
    const run = new FakeRun();
    run.onInputEnd = () => run.exit();
    expect((await msb(run, "-i alpine", { stdin: "hello" })).exitCode).toBe(0);
    expect(Buffer.concat(run.input).toString()).toBe("hello");
  });

  it("tells how long each stage took", async () => {
    const { stderr, stdout } = await msb(ending({ exitCode: 0 }), "--stages alpine");
    const names = stderr.split("\n").map((line) => line.split(/ {2,}/)[0]);
    expect(names).toEqual(["load", "vm", "run", "end", "total (qemu)", ""]);
    expect(stderr).toMatch(/^vm +12 ms$/m);
    expect(stdout).toBe("");
  });
});

describe("run --json", () => {
  it("is one document with what was written and how it ended", async () => {
    const run = ending({ exitCode: 1 }, () => {
      run.write("a");
      run.write("\u001b[31m", Channel.stderr);
      run.write("b");
    });
    const { exitCode, stdout, stderr } = await msb(run, "--json alpine");
    expect(JSON.parse(stdout)).toEqual({
      image: `sha256:${"a".repeat(64)}`,
      driver: "qemu",
      command: ["cmd"],
      exitCode: 1,
      signal: null,
      timedOut: false,
      oomKilled: false,
      stdout: "ab",
      stderr: "\u001b[31m",
      stages: ["load", "vm", "run", "end"].map((stage) => ({
        stage,
        durationMs: expect.any(Number),
      })),
      durationMs: expect.any(Number),
    });
    expect([exitCode, stderr]).toEqual([1, ""]);
  });

  it("has bytes that are no text in base64 besides", async () => {
    const run = ending({ exitCode: 0 }, () => run.write(Buffer.from([0xff, 0x00])));
    const { stdout } = await msb(run, "--json alpine");
    expect(JSON.parse(stdout)).toMatchObject({ stdout: "\ufffd\0", stdoutBase64: "/wA=" });
  });

  it("does not go with a terminal", async () => {
    const { exitCode, stderr } = await msb(new FakeRun(), "--json -t alpine");
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining("do not go together")]);
  });
});

describe("a run that fails", () => {
  const failing = async (error: unknown, words = "alpine") => {
    const run = new FakeRun();
    run.startError = error;
    return msb(run, words);
  };

  it("has the exit code that says whether the command was there", async () => {
    const notStarted = (operation: string, errno: number) =>
      new MsbError("MSB_ERR_EXEC_FAILED", "no", { details: { operation, errno } });
    const codes = await Promise.all(
      [
        notStarted("execve", 2),
        notStarted("execve", 13),
        notStarted("user", 2),
        new MsbError("MSB_ERR_IMAGE_NOT_FOUND", "no"),
        new MsbError("MSB_ERR_HYPERVISOR_UNAVAILABLE", "no"),
        new MsbError("MSB_ERR_INVALID_ARGUMENT", "no"),
        new TypeError("no"),
      ].map(async (error) => (await failing(error)).exitCode),
    );
    expect(codes).toEqual([127, 126, 125, 125, 125, 2, 125]);
  });

  it("tells what went wrong, as JSON if that was asked for", async () => {
    const error = new MsbError("MSB_ERR_IMAGE_NOT_FOUND", "no image");
    expect((await failing(error)).stderr).toBe("msb-ts: no image (MSB_ERR_IMAGE_NOT_FOUND)\n");
    const { stdout, stderr } = await failing(error, "--json alpine");
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: "MSB_ERR_IMAGE_NOT_FOUND" } });
    expect(stdout).toBe("");
  });

  it("because its time is up has the exit code of timeout(1), and its output all the same", async () => {
    const run = ending({ signal: 9, timedOut: true }, () => run.write("some"));
    const { exitCode, stdout, stderr } = await msb(run, "--timeout 2 alpine");
    expect([exitCode, stdout]).toEqual([124, "some"]);
    expect(stderr).toContain("longer than 2 s (--timeout)");
  });

  it("because the microVM is gone says so", async () => {
    const run = new FakeRun();
    run.onStart = () => void run[Symbol.asyncDispose]();
    const { exitCode, stderr } = await msb(run, "alpine");
    expect([exitCode, stderr]).toEqual([125, expect.stringContaining("MSB_ERR_VM_EXITED")]);
  });
});

describe("a run that is stopped", () => {
  function stoppable(words: string) {
    const stop = new AbortController();
    const run = new FakeRun();
    const { ctx, stderr } = testContext({ runOnce: run.start, signal: stop.signal });
    return { run, ctx, stderr, stop, end: runCli(["run", ...words.split(" ")], ctx) };
  }

  it("by Ctrl-C passes it on to all of the command, and ends with the command's own code", async () => {
    const { run, stop, end, stderr } = stoppable("alpine");
    run.onStart = () => stop.abort(stopReason("SIGINT"));
    run.onSignal = () => run.exit({ exitCode: 7 });
    expect(await end).toBe(7);
    expect(run.signals).toEqual([[2, "tree"]]);
    expect(stderr.text()).toBe("");
  });

  it("by a second Ctrl-C ends the microVM at once", async () => {
    const { run, stop, end, ctx } = stoppable("alpine");
    run.onStart = () => stop.abort(stopReason("SIGINT"));
    run.onSignal = () => ctx.service.stopPolicy!.hurry!();
    expect(await end).toBe(130);
    expect(run.ends).toContain("end");
    expect(run.ends).not.toContain("stop");
  });

  it("by Ctrl-C that the command does not heed ends it after a while", async () => {
    const { run, stop, end } = stoppable("alpine");
    await vi.waitFor(() => expect(run.request).toBeDefined());
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      stop.abort(stopReason("SIGINT"));
      await vi.advanceTimersByTimeAsync(9_000);
      expect(run.ends).toEqual([]);
      await vi.advanceTimersByTimeAsync(2_000);
    } finally {
      vi.useRealTimers();
    }
    expect(await end).toBe(130);
    expect(run.ends).toContain("end");
  });

  it.each([
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("by %s stops the guest in order", async (name, code) => {
    const { run, stop, end } = stoppable("alpine");
    run.onStart = () => stop.abort(stopReason(name));
    expect(await end).toBe(code);
    expect(run.signals).toEqual([]);
    expect(run.ends[0]).toBe("stop");
  });

  it("because nobody reads on ends without a word", async () => {
    const { run, stop, end, stderr } = stoppable("alpine");
    run.onStart = () => stop.abort(stopReason("SIGPIPE"));
    expect(await end).toBe(141);
    expect([run.ends[0], stderr.text()]).toEqual(["end", ""]);
  });

  it("while it starts, fails with the signal's code", async () => {
    const { run, stop, end } = stoppable("alpine");
    run.startError = stopReason("SIGINT");
    stop.abort(stopReason("SIGINT"));
    expect(await end).toBe(130);
  });
});

describe("a terminal", () => {
  it("is raw while the command runs, and its size is followed", async () => {
    const run = new FakeRun();
    const { ctx, stdout } = testContext({
      runOnce: run.start,
      terminals: ["stdin", "stdout", "stderr"],
      env: { TERM: "dumb" },
    });
    const modes: boolean[] = [];
    ctx.stdin.setRawMode = (isRaw) => modes.push(isRaw);
    run.onStart = () => {
      expect(modes).toEqual([true]);
      stdout.columns = 132;
      (stdout as EventEmitter).emit("resize");
      run.exit();
    };
    expect(await runCli(["run", "-it", "alpine"], ctx)).toBe(0);
    expect(modes).toEqual([true, false]);
    expect(run.request?.pty).toEqual({ cols: 80, rows: 24, term: "xterm" });
    expect(run.sizes).toEqual([{ cols: 132, rows: 24 }]);
    expect((stdout as EventEmitter).listenerCount("resize")).toBe(0);
  });

  it("that only shows stays as it is: Ctrl-C is a signal", async () => {
    const run = ending({ exitCode: 0 });
    const { ctx } = testContext({ runOnce: run.start, terminals: ["stdin", "stdout"] });
    ctx.stdin.setRawMode = () => expect.fail("it was made raw");
    expect(await runCli(["run", "-t", "alpine"], ctx)).toBe(0);
  });
});
