import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AgentClient } from "../../../src/agent/agent-client.js";
import { Channel, FrameType } from "../../../src/agent/frame.js";
import { streamGuestCommand, type StreamCommandOpts } from "../../../src/sandbox/command-stream.js";
import type { CommandEvent, StreamCommandRequest } from "../../../src/sandbox/service.js";
import { FakeAgent } from "../../helpers/fake-agent.js";

let guest: FakeAgent;
let agent: AgentClient;
beforeEach(async () => {
  guest = await FakeAgent.start();
  guest.on("core.ping", () => ({ data: "" }));
  agent = await AgentClient.connect(guest.socketPath, { nonce: "0".repeat(32) });
});
afterEach(async () => {
  agent.close();
  await guest.stop();
});

const OPTS: StreamCommandOpts = {
  env: ["PATH=/bin"],
  workdir: "/work",
  user: "app",
  signal: undefined,
};
const stream = (request: Partial<StreamCommandRequest> = {}, opts = OPTS) =>
  streamGuestCommand(agent, { command: "ls", args: ["-l"], timeoutMs: 0, ...request }, opts);

async function all(events: AsyncIterable<CommandEvent>): Promise<[string, unknown][]> {
  const seen: [string, unknown][] = [];
  for await (const event of events) {
    const { type } = event;
    seen.push([type, type === "end" ? event.reason : Buffer.from(event.data).toString("latin1")]);
  }
  return seen;
}

const types = (): string[] => guest.requests.map(({ type }) => type);

/** What the program writes when it has begun, and how it ends; null: not at all. */
function program(
  end: Record<string, unknown> | null,
  ...output: [Channel, string | Buffer][]
): void {
  guest.on("exec.start", ({ stream: number }) => {
    setImmediate(() => {
      for (const [channel, data] of output) guest.output(number, data, { channel });
      if (end !== null) guest.send(number, { type: "exec.exited", ...end });
    });
    return { pid: 7 };
  });
}

describe("a streamed command", () => {
  it("gives its bytes in the order of both streams, and its end last", async () => {
    program(
      { exitCode: 3 },
      [Channel.stdout, Buffer.from([0xff, 0])],
      [Channel.stderr, "no"],
      [Channel.stdout, "b"],
    );
    expect(await all(stream({ timeoutMs: 5_000 }))).toEqual([
      ["stdout", "\u00ff\0"],
      ["stderr", "no"],
      ["stdout", "b"],
      ["end", "exited"],
    ]);
    const start = guest.requests.find(({ type }) => type === "exec.start");
    expect(start?.fields).toEqual({
      argv: ["ls", "-l"],
      env: ["PATH=/bin"],
      cwd: "/work",
      user: "app",
      timeoutMs: 5_000,
    });
    expect(types().at(-1)).toBe("exec.close");
  });

  it.each([
    [{ exitCode: 0 }, { reason: "exited", exitCode: 0, signal: null }],
    [{ signal: 15 }, { reason: "killed", exitCode: null, signal: 15 }],
    [
      { signal: 9, timedOut: true },
      { reason: "timeout", exitCode: null, signal: 9 },
    ],
    [
      { exitCode: 1, timedOut: true },
      { reason: "timeout", exitCode: 1, signal: null },
    ],
    [
      { signal: 9, oomKilled: true },
      { reason: "outOfMemory", exitCode: null, signal: 9 },
    ],
  ])("that ended with %j says %j", async (exit, said) => {
    program(exit);
    const events: CommandEvent[] = [];
    for await (const event of stream()) events.push(event);
    expect(events).toEqual([{ type: "end", durationMs: expect.any(Number), ...said }]);
  });

  it("gets its input and the end of it, as the guest takes it", async () => {
    const stdin = Buffer.alloc(600_000, "input ");
    const taken: Buffer[] = [];
    let received = 0;
    guest.onFrame = ({ type, stream: number, payload, end }) => {
      if (type !== FrameType.data) return;
      taken.push(payload);
      received += payload.length;
      guest.credit(number, received, received + 262_144);
      if (!end) return;
      guest.output(number, "done");
      guest.send(number, { type: "exec.exited", exitCode: 0 });
    };
    guest.on("exec.start", () => ({ pid: 7 }));
    expect(await all(stream({ stdin }))).toEqual([
      ["stdout", "done"],
      ["end", "exited"],
    ]);
    expect(Buffer.concat(taken).equals(stdin)).toBe(true);
    expect(guest.requests.find(({ type }) => type === "exec.start")?.fields).toMatchObject({
      stdin: true,
    });
  });

  it("may end without having read its input", async () => {
    program({ exitCode: 0 }, [Channel.stdout, "enough"]);
    expect(await all(stream({ stdin: Buffer.alloc(600_000) }))).toEqual([
      ["stdout", "enough"],
      ["end", "exited"],
    ]);
  });

  it("waits while nobody reads: the guest gets no more credit", async () => {
    const piece = Buffer.alloc(65_536);
    program(null, ...Array.from({ length: 4 }, (): [Channel, Buffer] => [Channel.stdout, piece]));
    const events = stream();
    await events.next();
    await agent.ping();
    expect(guest.frames).toEqual([]);
    await events.next();
    await vi.waitFor(() =>
      expect(guest.frames.map(({ type }) => type)).toEqual([FrameType.credit]),
    );
    await events.return();
  });

  it("is killed when its reader stops early", async () => {
    program(null, [Channel.stdout, "a"]);
    for await (const event of stream()) {
      expect(event.type).toBe("stdout");
      break;
    }
    expect(types().at(-1)).toBe("exec.close");
  });

  it.each([
    ["silent", []],
    ["read", [[Channel.stdout, "a"]]],
  ] as [string, [Channel, string][]][])(
    "is killed by its signal while it is %s",
    async (_when, output) => {
      program(null, ...output);
      const abort = new AbortController();
      const failure = all(stream({}, { ...OPTS, signal: abort.signal })).catch(
        (error: unknown) => error,
      );
      await vi.waitFor(() => expect(types()).toContain("exec.start"));
      await agent.ping();
      abort.abort();
      expect(await failure).toMatchObject({ code: "MSB_ERR_ABORTED" });
      await vi.waitFor(() => expect(types().at(-1)).toBe("exec.close"));
    },
  );

  it("that cannot be started is named, with the reason", async () => {
    guest.on("exec.start", ({ id, stream: number }) => {
      const error = { code: "exec", message: "No such file", operation: "execve", errno: 2 };
      guest.send(number, { id, type: "error", ...error });
      return undefined;
    });
    await expect(all(stream({ command: "no\u001bpe" }))).rejects.toMatchObject({
      code: "MSB_ERR_EXEC_FAILED",
      message: expect.stringMatching(/^The command no\ufffdpe cannot be run: .*No such file/s),
    });
  });

  it("fails when its guest is lost, after what came before", async () => {
    program(null, [Channel.stdout, "a"]);
    const events = stream();
    expect(await events.next()).toMatchObject({ value: { type: "stdout" } });
    agent.close();
    await expect(events.next()).rejects.toMatchObject({ code: "MSB_ERR_AGENT_UNREACHABLE" });
  });

  it("has its end also when the connection is lost right after it", async () => {
    program({ exitCode: 0 });
    guest.on("exec.close", () => {
      guest.dropConnection();
      return undefined;
    });
    expect(await all(stream())).toEqual([["end", "exited"]]);
  });

  it.each([
    ["command", { command: "a\0" }],
    ["args", { args: ["\0"] }],
    ["timeoutMs", { timeoutMs: 1.5 }],
  ])("with a wrong %s is refused before the guest hears of it", async (option, request) => {
    await expect(all(stream(request))).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      details: { option },
    });
    expect(types()).toEqual(["hello"]);
  });
});
