import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AgentClient } from "../../../src/agent/agent-client.js";
import { Channel } from "../../../src/agent/frame.js";
import { runGuestCommand, type RunCommandOpts } from "../../../src/sandbox/command.js";
import { FakeAgent } from "../../helpers/fake-agent.js";

let guest: FakeAgent;
let agent: AgentClient;
beforeEach(async () => {
  guest = await FakeAgent.start();
  agent = await AgentClient.connect(guest.socketPath, { nonce: "0".repeat(32) });
});
afterEach(async () => {
  agent.close();
  await guest.stop();
});

const OPTS: RunCommandOpts = {
  env: ["PATH=/bin"],
  workdir: "/work",
  user: "app",
  maxOutputBytes: 1_000,
  signal: undefined,
};
const run = (request: Partial<Parameters<typeof runGuestCommand>[1]> = {}, opts = OPTS) =>
  runGuestCommand(agent, { command: "ls", args: ["-l"], timeoutMs: 0, ...request }, opts);

/** The program writes, then ends. */
function program(end: Record<string, unknown>, ...output: [Channel, string][]): void {
  guest.on("exec.start", ({ stream }) => {
    setImmediate(() => {
      for (const [channel, text] of output) guest.output(stream, text, { channel });
      guest.send(stream, { type: "exec.exited", ...end });
    });
    return { pid: 7 };
  });
}

describe("a command", () => {
  it("gives its lines and how it ended", async () => {
    program(
      { exitCode: 3 },
      [Channel.stdout, "a\n"],
      [Channel.stderr, "no\n"],
      [Channel.stdout, "b"],
    );
    expect(await run({ timeoutMs: 5_000 })).toEqual({
      exitCode: 3,
      signal: null,
      oomKilled: false,
      lines: [
        { stream: "stdout", text: "a" },
        { stream: "stderr", text: "no" },
        { stream: "stdout", text: "b" },
      ],
    });
    const start = guest.requests.find(({ type }) => type === "exec.start");
    expect(start?.fields).toEqual({
      argv: ["ls", "-l"],
      env: ["PATH=/bin"],
      cwd: "/work",
      user: "app",
      timeoutMs: 5_000,
    });
  });

  it("that a signal ended says which", async () => {
    program({ signal: 9, oomKilled: true });
    expect(await run()).toMatchObject({ exitCode: null, signal: 9, oomKilled: true });
  });

  it("that takes too long fails with the text that clients know", async () => {
    program({ signal: 9, timedOut: true }, [Channel.stdout, "lost"]);
    await expect(run({ timeoutMs: 1_500 })).rejects.toMatchObject({
      code: "MSB_ERR_EXEC_TIMEOUT",
      message: "Command timeout after 1.5 seconds",
      details: { timeoutMs: 1_500 },
    });
    await expect(run({ timeoutMs: 2_000 })).rejects.toThrow(/^Command timeout after 2 seconds$/);
  });

  it("that cannot be started is named, with the reason", async () => {
    guest.on("exec.start", ({ id, stream }) => {
      const error = { code: "exec", message: "No such file", operation: "execve", errno: 2 };
      guest.send(stream, { id, type: "error", ...error });
      return undefined;
    });
    await expect(run({ command: "no\u001bpe" })).rejects.toMatchObject({
      code: "MSB_ERR_EXEC_FAILED",
      message: expect.stringMatching(/^The command no\ufffdpe cannot be run: .*No such file/s),
      details: { operation: "execve", errno: 2 },
    });
  });

  it("that writes too much is killed", async () => {
    program({ exitCode: 0 }, [Channel.stdout, "x".repeat(1_001)]);
    await expect(run()).rejects.toMatchObject({
      code: "MSB_ERR_OUTPUT_LIMIT",
      message: expect.stringContaining("--max-output-mib"),
    });
    expect(guest.requests.map(({ type }) => type)).toContain("exec.close");
  });

  it("is killed when its caller goes away", async () => {
    guest.on("exec.start", () => ({ pid: 7 }));
    const abort = new AbortController();
    const running = run({}, { ...OPTS, signal: abort.signal });
    const failure = running.catch((error: unknown) => error);
    await vi.waitFor(() => expect(guest.requests.at(-1)?.type).toBe("exec.start"));
    abort.abort();
    expect(await failure).toMatchObject({ code: "MSB_ERR_ABORTED" });
    await vi.waitFor(() => expect(guest.requests.at(-1)?.type).toBe("exec.close"));
  });

  it.each([
    ["command", { command: "" }],
    ["command", { command: "a\0" }],
    ["args", { args: ["\0"] }],
    ["timeoutMs", { timeoutMs: -1 }],
    ["timeoutMs", { timeoutMs: 1.5 }],
  ])("with a wrong %s is refused before the guest hears of it", async (option, request) => {
    await expect(run(request)).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      details: { option },
    });
    expect(guest.requests.map(({ type }) => type)).toEqual(["hello"]);
  });
});
