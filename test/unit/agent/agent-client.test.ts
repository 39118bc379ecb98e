import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AgentClient } from "../../../src/agent/agent-client.js";
import { encodeFrame, FrameType } from "../../../src/agent/frame.js";
import { FakeAgent } from "../../helpers/fake-agent.js";

const nonce = "ab".repeat(16);

describe("AgentClient", () => {
  let agent: FakeAgent;
  beforeEach(async () => {
    agent = await FakeAgent.start();
  });
  afterEach(() => agent.stop());

  const connect = (opts: { generation?: number } = {}): Promise<AgentClient> =>
    AgentClient.connect(agent.socketPath, { nonce, signal: AbortSignal.timeout(5_000), ...opts });

  it("says hello after padding that completes an older connection's frame", async () => {
    await using client = await connect();
    expect(agent.paddingBytes).toBe(65_600);
    expect(agent.requests[0]).toMatchObject({
      type: "hello",
      stream: 0,
      fields: { generation: 3, nonce },
    });
    expect(client.hello.agentVersion).toBe("fake");
  });

  it("sends no padding to a VM that was just started", async () => {
    await using client = await AgentClient.connect(agent.socketPath, {
      nonce,
      mayBeCutShort: false,
    });
    expect(agent.paddingBytes).toBe(0);
    expect(client.isConnected).toBe(true);
  });

  it("drops what is left of an older connection, also when it looks like a preamble", async () => {
    const half = Buffer.from("\0\0\0\0\0\0msb-sync\r\n\x1a\nwrong session..", "latin1");
    agent.stale = Buffer.concat([
      encodeFrame(FrameType.data, 3, Buffer.alloc(9)).subarray(4),
      half,
      Buffer.alloc(3),
    ]);
    await using client = await connect();
    expect(client.isConnected).toBe(true);
  });

  it("gives up on a guest that never sends the preamble", async () => {
    agent.stale = Buffer.alloc(9 * 1024 * 1024, 0x41);
    await expect(connect()).rejects.toMatchObject({ code: "MSB_ERR_PROTOCOL" });
  });

  it("says which generation the guest speaks", async () => {
    agent.on("hello", (request, fake) => {
      fake.send(0, {
        id: request.id,
        type: "error",
        code: "generation",
        message: "x",
        generation: 7,
      });
      return undefined;
    });
    await expect(connect()).rejects.toMatchObject({
      code: "MSB_ERR_GENERATION",
      details: { generation: 7 },
    });
  });

  it("fails pending requests when the connection is lost, and later ones with advice", async () => {
    await using client = await connect();
    agent.on("core.ping", (_request, fake) => {
      fake.dropConnection();
      return undefined;
    });
    await expect(client.ping()).rejects.toMatchObject({ code: "MSB_ERR_AGENT_UNREACHABLE" });
    await expect(client.ping()).rejects.toThrow("reconnect");
  });

  it("gives up a request at its deadline and ignores the late reply", async () => {
    await using client = await connect();
    const held: Array<() => void> = [];
    agent.on("core.ping", (request, fake) => {
      held.push(() => fake.send(0, { id: request.id, type: "ok", data: "late" }));
      return undefined;
    });
    await expect(client.ping("", { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({
      code: "MSB_ERR_REQUEST_TIMEOUT",
    });
    held[0]?.();
    agent.on("core.ping", () => ({ data: "fresh" }));
    expect(await client.ping()).toBe("fresh");
  });

  it("closes the connection to a guest that breaks the protocol", async () => {
    await using client = await connect();
    const lost = new Promise<string>((resolve) =>
      client.onDisconnect((error) => resolve(error.code)),
    );
    agent.output(77, "data of a stream that nobody opened");
    expect(await lost).toBe("MSB_ERR_PROTOCOL");
  });

  it("carries a control channel beside stdout and stderr, and tells when it was closed", async () => {
    await using client = await connect();
    agent.on("exec.start", () => ({ pid: 42 }));
    const session = await client.exec(["x"], { control: true, stdin: true });
    expect(agent.requests.at(-1)?.fields).toMatchObject({ control: true, stdin: true });
    await session.writeControl(Buffer.from("c1"));
    await session.write(Buffer.from("in"));
    session.endStdin();
    await session.writeControl(Buffer.from("c2"));
    agent.output(session.stream, "out");
    agent.output(session.stream, "answer", { channel: 3 });
    agent.send(session.stream, { type: "exec.controlClosed" });
    agent.send(session.stream, { type: "exec.exited", exitCode: 0 });
    const closed = new Promise<string>((resolve) =>
      session.onControlClosed(() => resolve("closed")),
    );
    const { chunks } = await session.collect();
    expect(chunks.map(({ channel, data }) => [channel, data.toString()])).toEqual([
      [1, "out"],
      [3, "answer"],
    ]);
    expect(await closed).toBe("closed");
    const sent = (): unknown =>
      agent.frames.map(({ channel, end, payload }) => [channel, end, payload.toString()]);
    await expect.poll(sent).toEqual([
      [3, false, "c1"],
      [0, false, "in"],
      [0, true, ""],
      [3, false, "c2"],
    ]);
  });

  it("collects output and exit of a command and frees it", async () => {
    await using client = await connect();
    agent.on("exec.start", ({ stream }, fake) => {
      setImmediate(() => {
        fake.output(stream, "out");
        fake.output(stream, "err", { channel: 2 });
        fake.send(stream, { type: "exec.exited", exitCode: 3 });
      });
      return { pid: 42 };
    });
    const session = await client.exec(["x"], { env: ["A=1"], timeoutMs: 5 });
    expect(session.pid).toBe(42);
    const { exit, stdout, stderr } = await session.collect();
    expect([exit.exitCode, stdout.toString(), stderr.toString()]).toEqual([3, "out", "err"]);
    await expect
      .poll(() => agent.requests.map((request) => request.type))
      .toEqual(["hello", "exec.start", "exec.close"]);
    expect(agent.requests[1]?.fields).toEqual({ argv: ["x"], env: ["A=1"], timeoutMs: 5 });
  });

  it("gives what it collected when the connection is lost before the command is freed", async () => {
    await using client = await connect();
    agent.on("exec.start", ({ stream }, fake) => {
      setImmediate(() => {
        fake.output(stream, "out");
        fake.send(stream, { type: "exec.exited", exitCode: 0 });
      });
      return { pid: 42 };
    });
    agent.on("exec.close", (_request, fake) => {
      fake.dropConnection();
      return undefined;
    });
    const { exit, stdout } = await (await client.exec(["x"])).collect();
    expect([exit.exitCode, stdout.toString()]).toEqual([0, "out"]);
  });

  it("translates a failed start by its errno", async () => {
    await using client = await connect();
    agent.on("exec.start", (request, fake) => {
      const error = { type: "error", code: "exec", message: "x", operation: "execve", errno: 2 };
      fake.send(request.stream, { id: request.id, ...error });
      return undefined;
    });
    await expect(client.exec(["nope"])).rejects.toMatchObject({
      code: "MSB_ERR_EXEC_FAILED",
      details: { operation: "execve", errno: 2 },
    });
  });

  it("takes a running command up where it was, in both directions", async () => {
    await using client = await connect();
    agent.on("exec.start", () => ({ pid: 1 }));
    const session = await client.exec(["cat"], { stdin: true });
    await session.write(Buffer.from("0123456789"));
    agent.output(session.stream, "abc");
    const iterator = session.output[Symbol.asyncIterator]();
    expect((await iterator.next()).value?.data.toString()).toBe("abc");

    agent.dropConnection();
    await new Promise((resolve) => client.onDisconnect(resolve));
    agent.hello = {
      ...agent.hello,
      state: "ready",
      nextStream: 2,
      execs: [{ stream: 1, pid: 1, running: true, outputOffset: 0, outputEnd: 6, stdinOffset: 4 }],
    };
    agent.on("exec.attach", ({ stream, fields }, fake) => {
      expect(fields).toEqual({ outputOffset: 3 });
      setImmediate(() => fake.output(stream, "def"));
      return { outputOffset: 3, stdinOffset: 4, running: true };
    });
    agent.frames.length = 0;
    await Promise.all([client.reconnect(), client.reconnect()]);
    expect((await iterator.next()).value?.data.toString()).toBe("def");
    const input = (): string =>
      Buffer.concat(
        agent.frames.filter((frame) => frame.type === FrameType.data).map((frame) => frame.payload),
      ).toString();
    await expect.poll(input).toBe("456789");
    agent.send(session.stream, { type: "exec.exited", exitCode: 0 });
    expect((await session.exited).exitCode).toBe(0);
  });

  it("fails a command that is gone after the reconnect", async () => {
    await using client = await connect();
    agent.on("exec.start", () => ({ pid: 1 }));
    const session = await client.exec(["x"]);
    agent.dropConnection();
    await new Promise((resolve) => client.onDisconnect(resolve));
    await client.reconnect();
    await expect(session.exited).rejects.toMatchObject({ code: "MSB_ERR_EXEC_NOT_FOUND" });
  });

  it("frees in the guest what was closed, lost or not taken over without a connection", async () => {
    await using client = await connect();
    const exec = (stream: number) => ({
      ...{ stream, pid: stream, running: true, outputOffset: 0, outputEnd: 0, stdinOffset: 0 },
    });
    const drop = async (): Promise<void> => {
      const lost = new Promise((resolve) => client.onDisconnect(resolve));
      agent.dropConnection();
      await lost;
    };
    agent.on("exec.start", ({ fields }) =>
      String(fields["argv"]) === "lost" ? undefined : { pid: 1 },
    );
    agent.on("exec.close", () => ({}));
    const closed = await client.exec(["closed"]);
    const starting = client.exec(["lost"]).catch((error: { code: string }) => error.code);
    await expect
      .poll(() => agent.requests.filter(({ type }) => type === "exec.start").length)
      .toBe(2);
    await drop();
    expect(await starting).toBe("MSB_ERR_AGENT_UNREACHABLE");
    await closed.close();

    agent.hello = { ...agent.hello, state: "ready", nextStream: 10, execs: [1, 2, 7].map(exec) };
    await client.reconnect();
    const freed = (): number[] =>
      agent.requests.filter(({ type }) => type === "exec.close").map(({ stream }) => stream);
    expect(freed()).toEqual([1, 2]);

    agent.on("exec.attach", () => undefined);
    const adopting = client.adopt(7).catch((error: { code: string }) => error.code);
    await expect.poll(() => agent.requests.at(-1)?.type).toBe("exec.attach");
    await drop();
    expect(await adopting).toBe("MSB_ERR_AGENT_UNREACHABLE");
    agent.hello["execs"] = [exec(7)];
    await client.reconnect();
    expect(freed()).toEqual([1, 2, 7]);
    // Once is enough.
    await drop();
    await client.reconnect();
    expect(freed()).toEqual([1, 2, 7]);
  });

  it("refuses a request that does not fit a frame", async () => {
    await using client = await connect();
    await expect(client.exec(["x".repeat(70_000)])).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
    });
    expect(await client.ping("x")).toBe("x");
  });

  it("cancels a file transfer when its reader stops", async () => {
    await using client = await connect();
    agent.on("file.read", ({ stream }, fake) => {
      setImmediate(() => fake.output(stream, Buffer.alloc(1000), { channel: 0 }));
      return { size: 5_000, mode: 0o644 };
    });
    for await (const part of client.files.readStream("/x")) {
      expect(part.length).toBe(1000);
      break;
    }
    await expect.poll(() => agent.requests.at(-1)?.type).toBe("stream.cancel");
  });

  describe("of a guest that goes on as one of its own", () => {
    const own = { nonce: "cd".repeat(16), hostname: "box", clockMs: 1_700, entropy: "AAAA" };
    const take = (): Promise<AgentClient> =>
      AgentClient.connect(agent.socketPath, { nonce, mayBeCutShort: false, resume: own });

    it("says who it is from now on without waiting for the answer to its hello", async () => {
      let answer = (): void => {};
      agent.on("hello", ({ id }, fake) => {
        answer = () => fake.send(0, { id, type: "ok", ...fake.hello });
        return undefined;
      });
      const taking = take();
      await expect.poll(() => agent.requests.map(({ type }) => type)).toContain("core.resume");
      expect(agent.requests).toMatchObject([
        { type: "hello", fields: { nonce } },
        { type: "core.resume", stream: 0, fields: own },
      ]);
      answer();
      await using client = await taking;
      expect(client.hello.agentVersion).toBe("fake");
    });

    it("connects with the new nonce from then on", async () => {
      await using client = await take();
      client.disconnect();
      await client.reconnect();
      expect(agent.requests.at(-1)).toMatchObject({ type: "hello", fields: { nonce: own.nonce } });
      expect(agent.paddingBytes).toBe(65_600);
    });

    it.each([
      ["hello", "nonce"],
      ["core.resume", "state"],
    ])("fails when the guest refuses its %s", async (refused, code) => {
      agent.on(refused, ({ id }, fake) => {
        fake.send(0, { id, type: "error", code, message: "no" });
        return undefined;
      });
      // As a guest does that has refused the hello.
      if (refused === "hello") agent.on("core.resume", () => undefined);
      await expect(take()).rejects.toMatchObject({
        code: "MSB_ERR_AGENT_FAILED",
        message: expect.stringContaining(refused),
      });
    });
  });
});
