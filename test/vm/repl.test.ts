/** The tables of what code gives, through `sandbox.repl.run` of a server, on sandboxes that really run. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NODE_ROWS } from "../fixtures/kernel/node.js";
import { PYTHON_ROWS } from "../fixtures/kernel/python.js";
import type { KernelRow } from "../fixtures/kernel/row.js";
import { NODE_IMAGE, PYTHON_IMAGE } from "../helpers/server-images.js";
import { TestServer } from "../helpers/server-process.js";
import { testDrivers } from "../helpers/vm-fixture.js";
import { out, SMALL, textOf, WireSandbox } from "../helpers/wire.js";

/** The wire knows whole seconds. */
const MIN_TIMEOUT_S = 3;
/** Rows for the emulated KVM host: one of a kind. */
const ESSENTIAL: Readonly<Record<string, readonly RegExp[]>> = {
  python: [
    /^an expression echoes/,
    /^names persist/,
    /^blank lines in a body/,
    /^no line feed at the end/,
    /^bytes that are not UTF-8/,
    /^an exception$/,
    /^a syntax error/,
    /^an unclosed quote/,
    /^input\(\) finds its end/,
    /^sys\.exit\(1\)/,
    /^os\._exit$/,
    /^top-level await/,
    /^a loop$/,
  ],
  node: [
    /expression/,
    /persist/,
    /line feed/,
    /throw|exception/,
    /syntax/i,
    /process\.exit/,
    /await/,
    /^a loop|endless|without end/,
  ],
};
/** Of each pattern of the list above, at most so many rows. */
const ESSENTIAL_EACH = 2;

const LANGUAGES = [
  { language: "python", image: PYTHON_IMAGE, rows: PYTHON_ROWS },
  { language: "node", image: NODE_IMAGE, rows: NODE_ROWS },
] as const;

describe.each(testDrivers)("under %s", (driver) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await TestServer.start({ driver });
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  describe.each(LANGUAGES)("$language code in a sandbox", ({ language, image, rows }) => {
    let box: WireSandbox;
    beforeAll(async () => {
      box = new WireSandbox(server, `code-${language}`);
      await box.start({ ...SMALL, image, memory: 512 });
    });
    afterAll(() => box?.stop());

    it.each(rowsFor(driver, language, rows))("$name", (row) => expectRow(box, language, row));

    it("has no more rows of one name than one", () => {
      expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
      for (const pattern of ESSENTIAL[language]!) {
        expect(
          rows.filter(({ name }) => pattern.test(name)),
          `${pattern}`,
        ).not.toEqual([]);
      }
    });
  });
});

function rowsFor(
  driver: string,
  language: string,
  rows: readonly KernelRow[],
): readonly KernelRow[] {
  if (driver === "qemu") return rows;
  const chosen = ESSENTIAL[language]!.flatMap((pattern) =>
    rows.filter(({ name }) => pattern.test(name)).slice(0, ESSENTIAL_EACH),
  );
  return rows.filter((row) => chosen.includes(row));
}

async function expectRow(box: WireSandbox, language: string, row: KernelRow): Promise<void> {
  const run = (code: string, opts: { timeout?: number } = {}) =>
    box.run(code, { language, ...opts });
  if (row.before !== undefined) await run(row.before);
  const timeout =
    row.timeoutMs === undefined ? null : Math.max(MIN_TIMEOUT_S, Math.ceil(row.timeoutMs / 1000));
  const { status, output } = await run(row.code, timeout === null ? {} : { timeout });
  const lines = output.map(({ stream, text }) => `${stream === "stdout" ? "out" : "err"} ${text}`);
  if (row.lines !== undefined) expect(lines).toEqual(row.lines);
  expectInOrder(lines, row.linesMatch ?? []);
  expect(status).toBe(row.status);
  if (timeout !== null) {
    const said = `Error: Execution timed out after ${timeout} seconds`;
    expect(textOf(output, "stderr")).toContain(said);
  }
  expect((await run("1")).output).toEqual(out("1"));
}

/** Each pattern matches a line after the one that the pattern before it matched. */
function expectInOrder(lines: readonly string[], patterns: readonly RegExp[]): void {
  let at = 0;
  for (const pattern of patterns) {
    const found = lines.slice(at).findIndex((line) => pattern.test(line));
    expect(found, `${pattern} in\n${lines.slice(0, 40).join("\n")}`).toBeGreaterThanOrEqual(0);
    at += found + 1;
  }
}
