import { describe, expect, it } from "vitest";
import { runCli } from "../../../../../src/cli/run.js";
import { stopReason } from "../../../../../src/cli/error-report.js";
import { LogText } from "../../../../../src/cli/commands/sandbox/log-text.js";
import type { LogEntry } from "../../../../../src/sandbox/service.js";
import { testContext } from "../../../../helpers/cli.js";
import { sandboxCli } from "../../../../helpers/sandbox-cli.js";

const event = (seq: number, message: string): LogEntry => ({
  source: "events",
  event: { seq, at: "2026-01-01T00:00:00.000Z", type: "failed", message },
});
const said = (text: string): LogEntry => ({ source: "console", text });

async function labWith(...entries: LogEntry[]) {
  const test = await sandboxCli();
  test.sandboxes.add("default", "lab");
  test.sandboxes.entries = entries;
  return test;
}

describe("logs", () => {
  it("shows events as lines and the console as it is, without what a terminal obeys", async () => {
    const { run } = await labWith(
      event(1, "It ended\u0007"),
      said("Linux\r\nno line end\u001b[2J"),
    );
    expect(await run(["logs", "lab"])).toMatchObject({
      exitCode: 0,
      stdout: "2026-01-01T00:00:00.000Z  failed      It ended\ufffd\nLinux\nno line end\ufffd[2J\n",
      stderr: "",
    });
  });

  it("shows one of the two, and JSON a line", async () => {
    const { run } = await labWith(event(1, "one"), said("two\n"));
    expect((await run(["logs", "lab", "--source", "console"])).stdout).toBe("two\n");
    expect((await run(["logs", "lab", "--source", "events"])).stdout).toMatch(/one\n$/);
    const { stdout } = await run(["logs", "lab", "--json"]);
    expect(
      stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual([event(1, "one"), said("two\n")]);
    expect((await run(["logs", "lab", "--source", "other"])).exitCode).toBe(2);
  });

  it("goes on with what comes, until it is stopped", async () => {
    const { env, sandboxes } = await labWith(event(1, "one"));
    const stop = new AbortController();
    const { ctx, stdout, stderr } = testContext({ env: { ...env }, signal: stop.signal });
    const running = runCli(["logs", "-f", "lab"], ctx);
    await expect.poll(() => stdout.text()).toMatch(/ one\n$/);
    sandboxes.log(said("more"), event(2, "two"));
    await expect.poll(() => stdout.text()).toMatch(/ one\nmore\n.* two\n$/);
    stop.abort(stopReason("SIGINT"));
    expect([await running, stderr.text()]).toEqual([130, ""]);
    await expect.poll(() => sandboxes.open).toBe(0);
  });

  it("of nobody is an error", async () => {
    const { run } = await sandboxCli();
    for (const words of [
      ["logs", "x"],
      ["logs", "-f", "x"],
    ]) {
      const { exitCode, stderr } = await run(words);
      expect(stderr).toContain("(MSB_ERR_SANDBOX_NOT_FOUND)");
      expect(exitCode).toBe(66);
    }
  });
});

describe("text of a log", () => {
  it("takes a line's end that comes in two halves for one", () => {
    const text = new LogText();
    expect([text.of(said("a\r")), text.of(said("\nb")), text.end()]).toEqual(["a", "\nb", "\n"]);
  });

  it("ends the console's line before an event", () => {
    const text = new LogText();
    expect(text.of(said("a"))).toBe("a");
    expect(text.of(event(1, "x\ny\n"))).toMatch(/^\n2026\S+ {2}failed {6}x\ny\n$/);
    expect(text.end()).toBe("");
  });
});
