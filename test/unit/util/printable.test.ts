import { describe, expect, it } from "vitest";
import { printable } from "../../../src/util/printable.js";

describe("printable", () => {
  it("keeps text, lines and tabs", () => {
    expect(printable("grüße\t🌍\r\nsecond\n")).toBe("grüße\t🌍\nsecond\n");
  });

  it("takes the teeth from what a terminal would obey", () => {
    expect(printable("\u001b]0;title\u0007\u009b31m\u0000\r x\u007f")).toBe("�]0;title��31m�� x�");
  });

  it("gives well-formed text for bytes that were escaped as lone surrogates", () => {
    expect(printable("a\udcffb")).toBe("a�b");
  });
});
