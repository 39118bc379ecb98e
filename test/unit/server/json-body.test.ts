import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkShape } from "../../../src/server/json-body.js";
import { testApp } from "../../helpers/test-app.js";

describe("checkShape", () => {
  it.each([
    ['{"a":"[[[[{{{{\\"[[["}', "brackets in texts"],
    [`${"[".repeat(64)}${"]".repeat(64)}`, "64 levels"],
    [`[${"1,".repeat(199_998)}1]`, "200000 values"],
    ['"unclosed [[[', "what is no JSON"],
    ['"\\\\"', "an escaped backslash"],
    ["]]]]", "what only closes"],
  ])("lets pass: %#", (text) => {
    expect(() => checkShape(text)).not.toThrow();
  });

  it.each([
    ["[".repeat(65), /levels deep/],
    [`{"\\\\":${'{"a":'.repeat(64)}`, /levels deep/],
    [`[${"[],".repeat(200_000)}1]`, /values/],
    [`[${"1,".repeat(200_000)}1]`, /values/],
  ])("refuses: %#", (text, message) => {
    expect(() => checkShape(text)).toThrow(message);
  });

  it("never refuses small documents", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 20 }), (text) => {
        expect(() => checkShape(text)).not.toThrow();
      }),
    );
  });

  it("reads 16 MiB of anything in well under a second", () => {
    for (const text of ["[", '"\\', '"a', "\\", '{"a":"b\\"",'].map((part) =>
      part.repeat(Math.ceil((16 * 2 ** 20) / part.length)),
    )) {
      const start = performance.now();
      try {
        checkShape(text);
      } catch {
        // Only the time matters.
      }
      expect(performance.now() - start).toBeLessThan(2_000);
    }
  });
});

describe("bodies", () => {
  const post = async (payload: string, type = "application/json") => {
    const { app } = await testApp();
    return app.inject({
      method: "POST",
      url: "/api/v1/sandboxes",
      payload,
      headers: { "content-type": type },
    });
  };

  it.each([
    ['{"image":', 400, "MSB_ERR_INVALID_ARGUMENT", "not valid JSON"],
    ['{"image":"x","__proto__":{"cpus":1}}', 400, "MSB_ERR_INVALID_ARGUMENT", "prototype"],
    ['{"constructor":{"prototype":{}}}', 400, "MSB_ERR_INVALID_ARGUMENT", "prototype"],
    ["[".repeat(100), 400, "MSB_ERR_INVALID_ARGUMENT", "levels deep"],
    ["", 400, "MSB_ERR_INVALID_ARGUMENT", "body"],
    ["[]", 400, "MSB_ERR_INVALID_ARGUMENT", "expected object"],
  ])("are refused: %s", async (payload, statusCode, code, message) => {
    expect((await post(payload)).json()).toMatchObject({
      statusCode,
      code,
      message: expect.stringContaining(message),
    });
  });

  it("of another type are 415, too long ones 413", async () => {
    expect((await post("x=1", "text/plain")).json()).toMatchObject({
      statusCode: 415,
      code: "MSB_ERR_UNSUPPORTED_MEDIA_TYPE",
    });
    const { app } = await testApp({ config: { maxBodyBytes: 10 } });
    const url = "/api/v1/sandboxes";
    const answer = await app.inject({ method: "POST", url, payload: { image: "x".repeat(10) } });
    expect(answer.json()).toMatchObject({ statusCode: 413, code: "MSB_ERR_REQUEST_TOO_LARGE" });
  });
});
