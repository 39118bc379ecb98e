import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  Channel,
  decodeCredit,
  encodeCredit,
  encodeFrame,
  type Frame,
  FrameDecoder,
  FrameType,
  MAX_PAYLOAD_BYTES,
} from "../../../src/agent/frame.js";

interface Golden {
  name: string;
  hex: string;
  frame: {
    type: keyof typeof FrameType;
    channel: Channel;
    end: boolean;
    stream: number;
    payload: { utf8: string } | { hex: string };
  };
}

const fixture = <T>(name: string): T[] =>
  JSON.parse(
    readFileSync(new URL(`../../fixtures/protocol/${name}`, import.meta.url), "utf8"),
  ) as T[];

function decodeAll(chunks: Buffer[]): Frame[] {
  const decoder = new FrameDecoder();
  const frames: Frame[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk, (frame) => frames.push({ ...frame, payload: Buffer.from(frame.payload) }));
  }
  return frames;
}

describe("the frame codec", () => {
  it.each(fixture<Golden>("golden.json"))(
    "reads and writes the golden frame: $name",
    ({ hex, frame }) => {
      const bytes = Buffer.from(hex, "hex");
      const expected = {
        type: FrameType[frame.type],
        channel: frame.channel,
        end: frame.end,
        stream: frame.stream,
        payload:
          "hex" in frame.payload
            ? Buffer.from(frame.payload.hex, "hex")
            : Buffer.from(frame.payload.utf8),
      };
      expect(decodeAll([bytes])).toEqual([expected]);
      const encoded = encodeFrame(expected.type, frame.stream, expected.payload, {
        channel: frame.channel,
        end: frame.end,
      });
      expect(bytes.subarray(bytes.length - encoded.length).equals(encoded)).toBe(true);
    },
  );

  it.each(fixture<{ name: string; hex: string }>("bad.json"))(
    "refuses the bad frame: $name",
    ({ hex }) => {
      const bytes = Buffer.from(hex, "hex");
      expect(() => decodeAll([bytes])).toThrow(
        expect.objectContaining({ code: "MSB_ERR_PROTOCOL" }),
      );
      expect(() => decodeAll(Array.from(bytes, (_, i) => bytes.subarray(i, i + 1)))).toThrow(
        expect.objectContaining({ code: "MSB_ERR_PROTOCOL" }),
      );
    },
  );

  it("gives the same frames wherever the bytes are cut", () => {
    const stream = Buffer.concat([
      encodeFrame(FrameType.control, 0, Buffer.from("{}")),
      Buffer.alloc(7),
      encodeFrame(FrameType.data, 5, Buffer.alloc(300, 1), { channel: Channel.stderr }),
      encodeFrame(FrameType.data, 5, Buffer.alloc(0), { end: true }),
      encodeCredit(5, 1, 262_145),
    ]);
    const whole = decodeAll([stream]);
    expect(whole).toHaveLength(4);
    for (let cut = 1; cut < stream.length; cut++) {
      expect(decodeAll([stream.subarray(0, cut), stream.subarray(cut)])).toEqual(whole);
    }
    expect(decodeAll(Array.from(stream, (_, i) => stream.subarray(i, i + 1)))).toEqual(whole);
  });

  it("carries the longest payload and refuses to write a longer one", () => {
    const payload = Buffer.alloc(MAX_PAYLOAD_BYTES, 0xb5);
    const [frame] = decodeAll([encodeFrame(FrameType.data, 1, payload)]);
    expect(frame?.payload.equals(payload)).toBe(true);
    expect(() => encodeFrame(FrameType.data, 1, Buffer.alloc(MAX_PAYLOAD_BYTES + 1))).toThrow(
      RangeError,
    );
  });

  it("reads credit and refuses credit that cannot be", () => {
    const payloadOf = (frame: Buffer): Buffer => frame.subarray(12, -1);
    expect(decodeCredit(payloadOf(encodeCredit(1, 5, 10)))).toEqual({ consumed: 5, limit: 10 });
    expect(() => decodeCredit(payloadOf(encodeCredit(1, 10, 5)))).toThrow("credit");
    expect(() => decodeCredit(Buffer.alloc(15))).toThrow("credit");
    expect(() => decodeCredit(Buffer.alloc(16, 0xff))).toThrow("credit");
  });
});
