/** The host under hostile guest bytes: a million mutated frames, no crash, no hang, no growth. */
import { describe, expect, it } from "vitest";
import {
  Channel,
  decodeCredit,
  encodeCredit,
  encodeFrame,
  FrameDecoder,
  FrameType,
} from "../../src/agent/frame.js";
import { parseGuestMessage, readHelloReply, readMetrics } from "../../src/agent/messages.js";
import { isMsbError } from "../../src/errors.js";

const FRAMES = Number(process.env["MSB_FUZZ_FRAMES"] ?? 1_000_000);

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

const control = (message: unknown): Buffer =>
  encodeFrame(FrameType.control, 3, Buffer.from(JSON.stringify(message)));
const SEEDS: readonly Buffer[] = [
  control({
    id: 1,
    type: "ok",
    pid: 9,
    generation: 3,
    agentVersion: "x",
    state: "new",
    uptimeMs: 1,
    nextStream: 4,
    execs: [{ stream: 3, pid: 2, running: true, outputOffset: 0, outputEnd: 9, stdinOffset: 0 }],
  }),
  control({ id: 2, type: "error", code: "system", message: "no", operation: "open", errno: 2 }),
  control({ type: "exec.exited", signal: 9, timedOut: true }),
  control({ type: "stream.error", code: "system", message: "no" }),
  encodeFrame(FrameType.data, 3, Buffer.from("some output\n".repeat(20)), {
    channel: Channel.stdout,
  }),
  encodeFrame(FrameType.data, 3, Buffer.alloc(0), { channel: Channel.stderr, end: true }),
  encodeCredit(3, 100, 262_244),
];

function mutate(seed: Buffer, rand: (below: number) => number): Buffer {
  const bytes = Buffer.from(seed);
  for (let n = rand(4); n > 0; n--) {
    const at = rand(3) === 0 ? rand(Math.min(12, bytes.length)) : rand(bytes.length);
    bytes[at] = rand(2) === 0 ? rand(256) : (bytes[at] as number) ^ (1 << rand(8));
  }
  const cut = rand(20);
  if (cut === 0) return bytes.subarray(0, rand(bytes.length));
  if (cut === 1) return Buffer.concat([Buffer.alloc(rand(5)), bytes]);
  return bytes;
}

describe("bytes from a hostile guest", () => {
  it(`in ${FRAMES} mutated frames give frames or MSB_ERR_PROTOCOL, and nothing else`, () => {
    const rand = random(0x5eed);
    let decoder = new FrameDecoder();
    const counts = { frames: 0, refused: 0, messages: 0 };
    const readers = [readHelloReply, readMetrics];
    const onFrame = (frame: { type: number; payload: Buffer }): void => {
      counts.frames += 1;
      if (frame.type === FrameType.credit) decodeCredit(frame.payload);
      if (frame.type !== FrameType.control) return;
      const message = parseGuestMessage(frame.payload);
      counts.messages += 1;
      if (message.kind === "ok") readers[rand(2)]?.(message.fields);
    };
    const heap = (): number => process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
    let baseline = 0;
    for (let i = 0; i < FRAMES; i++) {
      const bytes = mutate(SEEDS[rand(SEEDS.length)] as Buffer, rand);
      const at = rand(bytes.length + 1);
      try {
        decoder.push(bytes.subarray(0, at), onFrame);
        decoder.push(bytes.subarray(at), onFrame);
      } catch (error) {
        if (!isMsbError(error, "MSB_ERR_PROTOCOL")) throw error;
        counts.refused += 1;
        decoder = new FrameDecoder();
      }
      // A frame that was cut or made longer swallows those that follow; let it have a few only.
      if (rand(8) === 0) decoder = new FrameDecoder();
      if (i === Math.floor(FRAMES / 10)) baseline = heap();
    }
    expect(counts.frames).toBeGreaterThan(FRAMES / 10);
    expect(counts.messages).toBeGreaterThan(FRAMES / 100);
    expect(counts.refused).toBeGreaterThan(FRAMES / 10);
    // Garbage that was not collected yet is no growth; a leak of a million frames would be hundreds of MiB.
    expect(heap() - baseline).toBeLessThan(128 * 1024 ** 2);
  });

  it("hold one frame at most, however they are cut", () => {
    const decoder = new FrameDecoder();
    const header = encodeFrame(FrameType.data, 1, Buffer.alloc(65_536)).subarray(0, 12);
    const before = process.memoryUsage().arrayBuffers;
    decoder.push(header, () => expect.fail("no frame is complete"));
    for (let i = 0; i < 65_535; i++)
      decoder.push(Buffer.from([1]), () => expect.fail("no frame is complete"));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 ** 2);
  });
});
