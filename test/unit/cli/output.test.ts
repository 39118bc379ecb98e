import { describe, expect, it } from "vitest";
import { toJson } from "../../../src/cli/output.js";
import { controlsIn } from "../../helpers/screen.js";

describe("toJson", () => {
  it("has no control character that a terminal would obey, and keeps the value", () => {
    const value = { text: "\u001b[2J\u009b2J\u007f\u0085 grüße 🌍", list: [1, null] };
    const text = toJson(value, 2);
    expect(controlsIn(text)).toEqual([]);
    expect(JSON.parse(text)).toEqual(value);
  });
});
