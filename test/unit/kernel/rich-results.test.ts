import { describe, expect, it } from "vitest";
import { limitResult } from "../../../src/kernel/rich-results.js";

const MIB = 1024 * 1024;

describe("rich results", () => {
  it("keep the forms that are what they should be", () => {
    const forms = { text: "1", html: "<b>", png: "AA==", json: { a: [1] } };
    expect(limitResult({ isValue: true, ...forms }).result).toEqual({ isValue: true, ...forms });
  });

  it("ignore everything else", () => {
    const raw = { isValue: 1, text: 5, png: "not base64!", jpeg: null, gif: "AA==", omitted: "x" };
    expect(limitResult(raw).result).toEqual({ isValue: false });
  });

  it("leave out a form that is too large, and say how large it was", () => {
    const { result, sizeBytes } = limitResult({
      isValue: false,
      text: "t",
      html: "h".repeat(8 * MIB + 1),
      omitted: { svg: 99, nonsense: 1, latex: -1 },
    });
    expect(result).toEqual({
      isValue: false,
      text: "t",
      omitted: { html: 8 * MIB + 1, svg: 99 },
    });
    expect(sizeBytes).toBe(1);
  });

  it("leave out what is too much together", () => {
    const { result } = limitResult({
      text: "a".repeat(7 * MIB),
      html: "b".repeat(7 * MIB),
      svg: "c".repeat(7 * MIB),
    });
    expect(Object.keys(result)).toEqual(["isValue", "text", "html", "omitted"]);
    expect(result.omitted).toEqual({ svg: 7 * MIB });
  });

  it("leave out JSON that others could not write", () => {
    const deep = JSON.parse("[".repeat(5000) + "]".repeat(5000)) as unknown;
    const { result } = limitResult({ json: deep });
    expect(result.json).toBeUndefined();
    expect(result.omitted).toHaveProperty("json");
  });

  it("replace lone surrogates and take line breaks out of base64", () => {
    const { result } = limitResult({ text: "\ud800x", png: "AA\nAA\r\n" });
    expect(result).toMatchObject({ text: "\ufffdx", png: "AAAA" });
  });
});
