/** The programs of docs/examples, run as their users do, against a server that really runs. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { makeRecipeHome } from "../helpers/recipe-home.js";
import { type ProgramEnd, runProgram } from "../helpers/run-program.js";
import { TestServer } from "../helpers/server-process.js";
import { tempDir } from "../helpers/temp-dir.js";
import { testDrivers } from "../helpers/vm-fixture.js";

const example = (name: string): string =>
  fileURLToPath(new URL(`../../docs/examples/${name}`, import.meta.url));

const runExample = (
  { url }: TestServer,
  name: string,
  args: readonly string[],
): Promise<ProgramEnd> =>
  runProgram([process.execPath, example(name), ...args], {
    env: { MSB_SERVER_URL: url, MSB_API_KEY: "" },
  });

async function sandboxesOf({ url }: TestServer): Promise<readonly unknown[]> {
  const answer = await fetch(`${url}/api/v1/sandboxes`);
  return ((await answer.json()) as { readonly sandboxes: unknown[] }).sandboxes;
}

describe.each(testDrivers)("examples under %s", (driver) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await TestServer.start({ driver });
  });
  // Throws when an example left a sandbox's process behind.
  afterAll(() => server?.[Symbol.asyncDispose]());
  afterEach(async () => {
    expect(await sandboxesOf(server)).toEqual([]);
  });

  const run = (name: string, ...args: readonly string[]): Promise<ProgramEnd> =>
    runExample(server, name, args);

  it("ci-tests: output of the tests as it comes, and their exit code", async () => {
    const passing = await run("ci-tests.mjs");
    expect(passing.stderr).toMatch(/test_the_first_ones .*ok\n[\s\S]*Ran 3 tests in .*\n\nOK\n/);
    expect([passing.exitCode, passing.stdout]).toEqual([0, "passed\n"]);
    const command = ["sh", "-c", "ls; echo no >&2; exit 3"];
    expect(await run("ci-tests.mjs", example("project"), ...command)).toEqual({
      exitCode: 3,
      signal: null,
      stdout: "primes.py\ntest_primes.py\nfailed with 3\n",
      stderr: "no\n",
    });
  });

  it("mcp-agent: mends its code after an error, and has the answer", async () => {
    const { exitCode, stdout, stderr } = await run("mcp-agent.mjs");
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^tools: .*\bsandbox_run_code\b/);
    expect(stdout).toContain("NameError");
    expect(stdout).toMatch(/\nanswer: It is 2971215073\.\n$/);
  });

  it("parallel-map: ten results in the order of the inputs", async () => {
    const { exitCode, stdout, stderr } = await run("parallel-map.mjs");
    expect([exitCode, stderr]).toEqual([0, ""]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(11);
    expect(lines[0]).toBe("primes from 0 to 1999: 303");
    expect(lines[9]).toBe("primes from 18000 to 19999: 198");
    expect(lines[10]).toBe("all: 2262");
  });
});

describe.each(testDrivers)("an example of the image with libraries under %s", (driver) => {
  it("data-analysis: a table, what a later run makes of it, and a plot", async () => {
    await using home = await makeRecipeHome("python");
    await using server = await TestServer.start({ driver, home });
    const folder = await tempDir();
    const { exitCode, stdout, stderr } = await runExample(server, "data-analysis.mjs", [folder]);
    expect([exitCode, stderr]).toEqual([0, ""]);
    const path = join(folder, "plot.png");
    const rows = [["region", "north", "south"], ["month"]];
    rows.push(["2026-01", "120", "95"], ["2026-02", "150", "110"], ["2026-03", "90", "170"]);
    rows.push(["best", "month:", "'2026-02'"], ["plot:", path]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.map((line) => line.trim().split(/ +/))).toEqual(rows);
    expect((await readFile(path)).subarray(1, 4).toString()).toBe("PNG");
  });
});
