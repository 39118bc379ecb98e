import { describe, expect, it } from "vitest";
import { fromBase64, joinBytes, toBase64, utf8Decoder } from "../../../src/sdk/bytes.js";

const ALL = Uint8Array.from({ length: 256 }, (_, at) => at);

describe("bytes", () => {
  it("become Base64 and come back, whatever their number", () => {
    for (const bytes of [new Uint8Array(), ALL.subarray(0, 1), ALL.subarray(3, 5), ALL]) {
      expect(toBase64(bytes)).toBe(Buffer.from(bytes).toString("base64"));
      expect(fromBase64(toBase64(bytes))).toEqual(bytes);
    }
  });

  it("may be more than a call takes arguments", () => {
    const many = joinBytes(Array.from({ length: 1000 }, () => ALL));
    expect(toBase64(many)).toBe(Buffer.from(many).toString("base64"));
  });

  it("are joined in order", () => {
    expect(joinBytes([])).toEqual(new Uint8Array());
    expect(joinBytes([ALL.subarray(0, 2), new Uint8Array(), ALL.subarray(2, 3)])).toEqual(
      Uint8Array.of(0, 1, 2),
    );
  });

  it("are text with every character that they have", () => {
    expect(utf8Decoder().decode(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61))).toBe("\uFEFFa");
    expect(utf8Decoder().decode(Uint8Array.of(0x61, 0xff))).toBe("a\uFFFD");
  });
});
