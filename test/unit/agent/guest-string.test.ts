import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeGuestString, encodeGuestString } from "../../../src/agent/guest-string.js";

describe("guest strings", () => {
  it("are plain text where the bytes are UTF-8", () => {
    expect(decodeGuestString(Buffer.from("grüße 🌍\0"))).toBe("grüße 🌍\0");
    expect(encodeGuestString("grüße 🌍").toString()).toBe("grüße 🌍");
  });

  it("escape what is not UTF-8", () => {
    expect(decodeGuestString(Buffer.from([0x61, 0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80]))).toBe(
      "a\udcff\udcc3(\udced\udca0\udc80",
    );
  });

  it("give any bytes back", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(encodeGuestString(decodeGuestString(bytes)).equals(Buffer.from(bytes))).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});
