import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { buildProgram } from "../../../src/cli/program.js";
import { cliReference } from "../../../src/cli/reference.js";
import { testContext } from "../../helpers/cli.js";

describe("docs/cli.md", () => {
  it("is what the commands say of themselves; if not, run npm run docs", () => {
    const page = readFileSync(new URL("../../../docs/cli.md", import.meta.url), "utf8");
    expect(page).toBe(cliReference(buildProgram(testContext().ctx)));
  });
});
