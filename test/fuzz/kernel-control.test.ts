/** A kernel whose control channel says anything at all: no crash, no growth, and the next call works. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AgentClient } from "../../src/agent/agent-client.js";
import { ControlLines } from "../../src/kernel/control-lines.js";
import { parseKernelMessage } from "../../src/kernel/kernel-messages.js";
import { GuestKernels } from "../../src/kernel/open-kernels.js";
import type { RunEvent } from "../../src/kernel/run-types.js";
import { FakeAgent } from "../helpers/fake-agent.js";
import { FAKE_PROGRAM, FakeKernels } from "../helpers/fake-kernel.js";

const ROUNDS = Number(process.env["MSB_FUZZ_ROUNDS"] ?? 2_000);

/** xorshift32: the same inputs in every run with the same seed. */
function random(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const SEEDS: readonly string[] = [
  '{"type":"ready","version":"3.11.2"}',
  '{"type":"result","id":"ab","result":{"isValue":true,"text":"1","png":"AAAA","json":{"a":[1]}}}',
  '{"type":"result","id":"ab","result":{"isValue":false,"omitted":{"html":9,"x":1},"__proto__":{"a":1}}}',
  '{"type":"error","id":"ab","error":{"name":"E","value":"v","traceback":["a","b"]}}',
  '{"type":"end","id":"ab","reason":"completed"}',
  '{"type":"synced","nonce":"ab","running":null}',
  `{"type":"result","id":"ab","result":{"json":${"[".repeat(500)}${"]".repeat(500)}}}`,
];

function junk(rand: (below: number) => number): Buffer {
  const parts: Buffer[] = [];
  for (let n = rand(5); n >= 0; n--) {
    const seed = Buffer.from(SEEDS[rand(SEEDS.length)] as string);
    for (let flips = rand(4); flips > 0; flips--) seed[rand(seed.length)] = rand(256);
    parts.push(rand(3) === 0 ? seed.subarray(0, rand(seed.length)) : seed);
    if (rand(2) === 0) parts.push(Buffer.from("\n"));
  }
  return Buffer.concat(parts);
}

describe("the control channel of a hostile kernel", () => {
  it("gives lines however it is cut, and finds the next message behind any bytes", () => {
    const rand = random(7);
    for (let round = 0; round < ROUNDS; round++) {
      const lines = new ControlLines(2_000);
      const bytes = Buffer.concat([junk(rand), Buffer.from('\n{"type":"ready","version":"7"}\n')]);
      let last: unknown;
      for (let at = 0; at < bytes.length;) {
        const end = at + 1 + rand(100);
        lines.push(bytes.subarray(at, end), (line) => {
          expect(line.length).toBeLessThanOrEqual(2_000);
          last = parseKernelMessage(line);
        });
        at = end;
      }
      expect(last).toEqual({ type: "ready", version: "7" });
    }
  });

  it("drops a line that never ends without keeping it", () => {
    const lines = new ControlLines(1_000_000);
    const seen: string[] = [];
    const before = process.memoryUsage().arrayBuffers;
    for (let n = 0; n < 2_000; n++) lines.push(Buffer.alloc(100_000, "x"), () => seen.push("?"));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(250_000_000);
    lines.push(Buffer.from("tail\nnext\n"), (line) => seen.push(line.toString()));
    expect(seen).toEqual(["next"]);
  });

  it("reads each message into what its type promises", () => {
    const rand = random(11);
    for (let round = 0; round < 20 * ROUNDS; round++) {
      const message = parseKernelMessage(junk(rand));
      const text = JSON.stringify(message) ?? "";
      expect(text.isWellFormed()).toBe(true);
    }
  });

  describe("beside real calls", () => {
    let agent: FakeAgent;
    let fakes: FakeKernels;
    let client: AgentClient;
    beforeEach(async () => {
      agent = await FakeAgent.start();
      fakes = new FakeKernels(agent);
      client = await AgentClient.connect(agent.socketPath, { nonce: "ab".repeat(16) });
    });
    afterEach(async () => {
      client.close();
      await agent.stop();
    });

    it("never breaks the next call", async () => {
      const rand = random(13);
      const kernels = new GuestKernels(
        client,
        { env: [], workdir: "/", user: "root" },
        async () => FAKE_PROGRAM,
      );
      for (let round = 0; round < ROUNDS / 4; round++) {
        const events: RunEvent[] = [];
        const code = `control ${junk(rand).toString("hex")}\nprint ${round}`;
        const request = { language: "python", code, timeoutMs: 5_000 } as const;
        for await (const event of kernels.run(request)) events.push(event);
        expect(events).toEqual([
          { type: "stdout", text: `${round}\n` },
          expect.objectContaining({ type: "end", reason: "completed", stateLost: false }),
        ]);
      }
      expect(fakes.kernels).toHaveLength(1);
    });
  });
});
