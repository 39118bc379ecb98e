import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RingBuffer } from "../../../src/util/ring-buffer.js";

describe("RingBuffer", () => {
  it("keeps the last bytes, however they came", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ maxLength: 12, unit: "grapheme-ascii" }), { maxLength: 12 }),
        (parts) => {
          const ring = new RingBuffer(8);
          for (const part of parts) ring.push(Buffer.from(part));
          expect(ring.toString()).toBe(parts.join("").slice(-8));
        },
      ),
    );
  });
});
