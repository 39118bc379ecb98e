/** The control channel of commands: its order beside stdout and stderr, its end, its credit, and new connections. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AgentClient, type ExecOpts } from "../../src/agent/agent-client.js";
import type { ExecSession } from "../../src/agent/exec-session.js";
import { Channel } from "../../src/agent/frame.js";
import type { OutputChunk } from "../../src/agent/stream-flow.js";
import type { Guest } from "../../src/sandbox/guest.js";
import { testDrivers, VmFixture } from "../helpers/vm-fixture.js";

describe.each(testDrivers)("the control channel under %s", (driver) => {
  let fixture: VmFixture;
  let guest: Guest;

  beforeAll(async () => {
    fixture = await VmFixture.open(driver);
    guest = await fixture.boot();
  });
  afterAll(() => fixture?.dispose());

  const sh = (script: string, opts: ExecOpts = {}): Promise<ExecSession> =>
    guest.agent.exec(["sh", "-c", script], { env: ["PATH=/bin"], control: true, ...opts });

  it("is file descriptor 3, in both directions, and no other descriptor is left open", async () => {
    const session = await sh(
      'read -r line <&3; echo "$MSB_CONTROL_FD $line" >&3; ls /proc/self/fd | tr "\\n" " "',
      { env: ["PATH=/bin", "MSB_CONTROL_FD=77"] },
    );
    await session.writeControl(Buffer.from("héllo\n"));
    const { chunks, exit, stdout } = await session.collect();
    expect(textOf(chunks, Channel.control)).toBe("3 héllo\n");
    // The fourth is the folder that `ls` reads.
    expect(stdout.toString()).toBe("0 1 2 3 4 ");
    expect(exit).toMatchObject({ exitCode: 0 });
  });

  it("is not there unless it was asked for", async () => {
    const session = await sh("echo ${MSB_CONTROL_FD-none}; ls /proc/self/fd | tr '\\n' ' '", {
      control: false,
    });
    const { stdout } = await session.collect();
    expect(stdout.toString()).toBe("none\n0 1 2 3 ");
  });

  it("comes after all output that was written before it, over 1,000 messages", async () => {
    const session = await sh(
      "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo o$i; echo e$i >&2; echo c$i >&3; done",
    );
    const { chunks } = await session.collect();
    const lines = linesOf(chunks);
    const all = (letter: string): string[] =>
      Array.from({ length: 1000 }, (_, index) => `${letter}${index + 1}`);
    const of = (wanted: Channel): string[] =>
      lines.filter(({ channel }) => channel === wanted).map(({ line }) => line);
    expect(of(Channel.stdout)).toEqual(all("o"));
    expect(of(Channel.stderr)).toEqual(all("e"));
    expect(of(Channel.control)).toEqual(all("c"));
    const position = new Map(lines.map(({ line }, index) => [line, index]));
    const early = all("c").filter((message) => {
      const at = position.get(message) as number;
      const number = message.slice(1);
      return at < position.get(`o${number}`)! || at < position.get(`e${number}`)!;
    });
    expect(early).toEqual([]);
  });

  it("keeps the exact order of a program that waits for answers, over 1,000 messages", async () => {
    const session = await sh(
      "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo o$i; echo c$i >&3; read -r x <&3; done",
    );
    const order: string[] = [];
    for await (const { channel, data } of session.output) {
      const lines = data.toString().split("\n").slice(0, -1);
      order.push(...lines);
      if (channel === Channel.control) await session.writeControl(Buffer.from("go on\n"));
    }
    await session.close();
    const expected = Array.from({ length: 1000 }, (_, i) => [`o${i + 1}`, `c${i + 1}`]).flat();
    expect(order).toEqual(expected);
  });

  it("is not held back by a program that floods stdout", async () => {
    const session = await sh("yes & read -r x <&3; echo stop >&3; read -r x <&3; kill $!; wait");
    let read = 0;
    let askedAt: number | undefined;
    let answeredAt: number | undefined;
    for await (const { channel, data } of session.output) {
      read += data.length;
      if (askedAt === undefined && read > 1024 * 1024) {
        askedAt = read;
        await session.writeControl(Buffer.from("now\n"));
      }
      if (channel === Channel.control) {
        answeredAt = read;
        await session.writeControl(Buffer.from("bye\n"));
      }
    }
    await session.close();
    expect(answeredAt).toBeGreaterThan(askedAt ?? Number.POSITIVE_INFINITY);
  });

  it("tells when a program that runs on has closed it, after what it wrote before", async () => {
    const session = await sh("echo last >&3; echo out; exec 3>&-; sleep 1; echo later");
    const events: string[] = [];
    // It has been received by then; the reader takes it in the same turn.
    session.onControlClosed(() => setImmediate(() => events.push("closed")));
    for await (const { channel, data } of session.output) {
      events.push(`${channel}:${data.toString()}`);
    }
    expect(events.join("|")).toMatch(/^(3:last\n\|1:out\n|1:out\n\|3:last\n)\|closed\|1:later\n$/);
    expect(await session.exited).toMatchObject({ exitCode: 0 });
    // Nobody reads it any more, and that is no error.
    await session.close();
  });

  it("shares the credit of stdin and takes more than a window", async () => {
    const session = await sh("head -c 700000 <&3 | md5sum; md5sum", { stdin: true });
    const data = Buffer.alloc(700_000, "0123456789abcdef");
    await session.writeControl(data);
    await session.write(data);
    session.endStdin();
    const { stdout } = await session.collect();
    const [first, second] = stdout.toString().split("\n");
    expect(first).toMatch(/^[0-9a-f]{32}/);
    expect(second).toBe(first);
  });

  it("carries more than a window out, in order, to a slow reader", async () => {
    const session = await sh("seq 1 200000 >&3");
    await new Promise((resolve) => setTimeout(resolve, 500));
    const { chunks } = await session.collect();
    const expected = Array.from({ length: 200_000 }, (_, i) => `${i + 1}\n`).join("");
    expect(textOf(chunks, Channel.control) === expected).toBe(true);
  });

  it("goes on over a new connection, also with a client that knows nothing of the old one", async () => {
    const session = await sh(
      'while read -r line <&3; do [ "$line" = end ] && exit 7; echo "out $line"; echo "ctl $line" >&3; done',
    );
    const reader = readLines(session);
    await session.writeControl(Buffer.from("1\n"));
    expect(await reader.take(2)).toEqual(["out 1", "ctl 1"]);
    guest.agent.disconnect();
    const written = session.writeControl(Buffer.from("2\n"));
    await guest.agent.reconnect();
    await written;
    expect(await reader.take(2)).toEqual(["out 2", "ctl 2"]);

    guest.agent.disconnect();
    {
      await using other = await AgentClient.connect(guest.vm.agentSocket, { nonce: guest.nonce });
      const adopted = await other.adopt(session.stream);
      await adopted.writeControl(Buffer.from("3\nend\n"));
      const { chunks, exit } = await adopted.collect();
      const lines = linesOf(chunks).map(({ channel, line }) => `${channel}:${line}`);
      // What the first client took but had not confirmed comes again.
      expect(lines.slice(-2)).toEqual(["1:out 3", "3:ctl 3"]);
      expect(exit).toMatchObject({ exitCode: 7 });
    }
    await guest.agent.reconnect();
  });

  it("says again to a new connection that it was closed", async () => {
    const session = await sh("exec 3>&-; sleep 60");
    await new Promise<void>((resolve) => session.onControlClosed(resolve));
    guest.agent.disconnect();
    {
      await using other = await AgentClient.connect(guest.vm.agentSocket, { nonce: guest.nonce });
      const adopted = await other.adopt(session.stream);
      const again = new Promise<string>((resolve) =>
        adopted.onControlClosed(() => resolve("closed")),
      );
      expect(await again).toBe("closed");
      await adopted.close();
    }
    await guest.agent.reconnect();
  });
});

function textOf(chunks: readonly OutputChunk[], channel: Channel): string {
  return Buffer.concat(
    chunks.filter((chunk) => chunk.channel === channel).map((chunk) => chunk.data),
  ).toString();
}

/** The lines of all channels, in the order in which they ended. */
function linesOf(chunks: readonly OutputChunk[]): { channel: Channel; line: string }[] {
  const rest = new Map<Channel, string>();
  return chunks.flatMap(({ channel, data }) => {
    const lines = ((rest.get(channel) ?? "") + data.toString()).split("\n");
    rest.set(channel, lines.pop() ?? "");
    return lines.map((line) => ({ channel, line }));
  });
}

function readLines(session: ExecSession): { take(count: number): Promise<string[]> } {
  const lines: string[] = [];
  let wake = (): void => {};
  void (async () => {
    for await (const { data } of session.output) {
      lines.push(...data.toString().split("\n").slice(0, -1));
      wake();
    }
  })().catch(() => {});
  return {
    async take(count) {
      while (lines.length < count) await new Promise<void>((resolve) => (wake = resolve));
      return lines.splice(0, count);
    },
  };
}
