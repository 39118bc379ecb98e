import { describe, expect, it } from "vitest";
import { MsbError } from "../../../src/errors.js";
import { Channel } from "../../../src/agent/frame.js";
import { STREAM_WINDOW_BYTES } from "../../../src/agent/messages.js";
import { InboundFlow, OutboundFlow } from "../../../src/agent/stream-flow.js";

const chunk = (bytes: number): { channel: Channel; data: Buffer } => ({
  channel: Channel.stdout,
  data: Buffer.alloc(bytes),
});

describe("InboundFlow", () => {
  it("refuses bytes over the credit it gave", () => {
    const flow = new InboundFlow(() => {});
    flow.accept(chunk(STREAM_WINDOW_BYTES));
    expect(() => flow.accept(chunk(1))).toThrow("over credit");
  });

  it("gives credit as its reader takes chunks, and none before", async () => {
    const credits: number[] = [];
    const flow = new InboundFlow((consumed, limit) => {
      expect(limit).toBe(consumed + STREAM_WINDOW_BYTES);
      credits.push(consumed);
    });
    for (let i = 0; i < 4; i++) flow.accept(chunk(STREAM_WINDOW_BYTES / 4));
    expect(credits).toEqual([]);
    flow.finish();
    for await (const part of flow) expect(part.data.length).toBe(STREAM_WINDOW_BYTES / 4);
    expect(credits).toEqual([1, 2, 3, 4].map((quarters) => (quarters * STREAM_WINDOW_BYTES) / 4));
  });

  it("does not keep empty chunks", async () => {
    const flow = new InboundFlow(() => {});
    for (let i = 0; i < 1_000; i++) flow.accept(chunk(0));
    flow.finish();
    for await (const part of flow) expect.fail(`${part.data.length}`);
  });

  it("hands out what came before a failure, then fails", async () => {
    const flow = new InboundFlow(() => {});
    flow.accept(chunk(3));
    flow.fail(new MsbError("MSB_ERR_AGENT_UNREACHABLE", "gone"));
    const iterator = flow[Symbol.asyncIterator]();
    expect((await iterator.next()).value?.data.length).toBe(3);
    await expect(iterator.next()).rejects.toThrow("gone");
  });
});

describe("OutboundFlow", () => {
  function collect(accepts = () => true): { sent: Buffer[]; flow: OutboundFlow } {
    const sent: Buffer[] = [];
    const flow = new OutboundFlow(9, (frame) => {
      if (!accepts()) return false;
      sent.push(frame.subarray(12, -1));
      return true;
    });
    return { sent, flow };
  }
  const bytes = (sent: Buffer[]): number => sent.reduce((sum, part) => sum + part.length, 0);

  it("sends to the limit, waits, and goes on with credit", async () => {
    const { sent, flow } = collect();
    let isDone = false;
    const writing = flow.write(Buffer.alloc(STREAM_WINDOW_BYTES + 10)).then(() => (isDone = true));
    await Promise.resolve();
    expect([bytes(sent), isDone]).toEqual([STREAM_WINDOW_BYTES, false]);
    flow.grant(1_000, 1_000 + STREAM_WINDOW_BYTES);
    await writing;
    expect(bytes(sent)).toBe(STREAM_WINDOW_BYTES + 10);
  });

  it("sends again what the guest did not get, after a new connection", async () => {
    const { sent, flow } = collect();
    const data = Buffer.from("0123456789");
    await flow.write(data);
    flow.end();
    flow.pause();
    sent.length = 0;
    flow.resume(4);
    expect(Buffer.concat(sent).toString()).toBe("456789");
    expect(() => flow.resume(11)).toThrow("input resumes at 11");
    flow.grant(8, 8 + STREAM_WINDOW_BYTES);
    expect(() => flow.resume(7)).toThrow("input resumes at 7");
  });

  it("refuses credit for bytes that were never sent", async () => {
    const { flow } = collect();
    await flow.write(Buffer.from("abc"));
    expect(() => flow.grant(4, 4 + STREAM_WINDOW_BYTES)).toThrow("never sent");
  });

  it("waits while the connection does not take frames", async () => {
    let isOpen = false;
    const { sent, flow } = collect(() => isOpen);
    const writing = flow.write(Buffer.from("abc"));
    expect(sent).toEqual([]);
    isOpen = true;
    flow.flush();
    await writing;
    expect(Buffer.concat(sent).toString()).toBe("abc");
  });

  it("fails writers when the stream fails or was ended", async () => {
    const { flow } = collect(() => false);
    const writing = flow.write(Buffer.from("abc"));
    flow.fail(new MsbError("MSB_ERR_AGENT_UNREACHABLE", "gone"));
    await expect(writing).rejects.toThrow("gone");
    const ended = collect().flow;
    ended.end();
    await expect(ended.write(Buffer.from("x"))).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
    });
  });
});
