import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { apiReference } from "../../api-reference.mjs";
import { testApp } from "../../helpers/test-app.js";

describe("docs/api.md", () => {
  it("is what the server says of itself; if not, run npm run docs", async () => {
    const { app } = await testApp();
    const document = (await app.inject({ url: "/api/v1/openapi.json" })).json();
    const page = readFileSync(new URL("../../../docs/api.md", import.meta.url), "utf8");
    expect(page).toBe(apiReference(document));
  });
});
