/** The tables of what code gives, through `sandbox.repl.run` of a server, on sandboxes that really run. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NODE_ROWS } from "../fixtures/kernel/node.js";
import { PYTHON_ROWS } from "../fixtures/kernel/python.js";
import type { KernelRow } from "../fixtures/kernel/row.js";
import { NODE_IMAGE, PYTHON_IMAGE } from "../helpers/server-images.js";
import { TestServer } from "../helpers/server-process.js";
import { testDrivers } from "../helpers/vm-fixture.js";
import { type Line, out, SMALL, WireSandbox } from "../helpers/wire.js";

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
/** Lines of a row that failed. */
const MAX_SHOWN = 40;

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

    it.each(rowsFor(driver, language, rows))("$name", async (row) => {
      const { seen, wanted } = await tryRow(box, language, {
        ...row,
        ...ON_THE_WIRE[language]![row.name],
      });
      expect(seen).toEqual(wanted);
    });

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

/**
 * What the wire says differently: it knows lines only, so a value goes on in a line that has no end yet, and such a
 * line comes when it ends.
 */
const ON_THE_WIRE: Readonly<Record<string, Readonly<Record<string, Partial<KernelRow>>>>> = {
  python: {
    "what write returns is a value": { lines: ["out abc3"], linesMatch: [] },
    "input() with a prompt": { linesMatch: [/^err EOFError: /, /^out name\? $/] },
  },
  node: { "what write returns is a value": { lines: ["out abctrue"], linesMatch: [] } },
};
/** Ends the interpreter: a row has left it in a state that nobody works with. */
const END: Readonly<Record<string, string>> = {
  python: "import posix; posix._exit(0)",
  node: "process.reallyExit(0)",
};

interface RowFacts {
  readonly status: string;
  /** Where the table does not say all of them, null and what was looked for in vain. */
  readonly lines: readonly string[] | null;
  readonly missing: readonly string[];
  /** The last line, of code that was given too little time. */
  readonly timeout: string | null;
  /** What the next code gives. */
  readonly next: readonly Line[];
}

/** What a row gives and what it should. */
async function tryRow(
  box: WireSandbox,
  language: string,
  row: KernelRow,
): Promise<{ seen: RowFacts; wanted: RowFacts }> {
  const run = (code: string, opts: { timeout?: number } = {}) =>
    box.run(code, { language, ...opts });
  if (row.before !== undefined) await run(row.before);
  const timeout =
    row.timeoutMs === undefined ? null : Math.max(MIN_TIMEOUT_S, Math.ceil(row.timeoutMs / 1000));
  const { status, output } = await run(row.code, timeout === null ? {} : { timeout });
  const lines = output.map(({ stream, text }) => `${stream === "stdout" ? "out" : "err"} ${text}`);
  if (row.isLast === true) await run(END[language]!);
  const next = (await run("1")).output;
  return {
    seen: {
      status,
      lines: row.lines === undefined ? null : lines,
      missing: missingOf(lines, row.linesMatch ?? []),
      timeout: timeout === null ? null : (lines.at(-1) ?? ""),
      next,
    },
    wanted: {
      status: row.status,
      lines: row.lines ?? null,
      missing: [],
      timeout: timeout === null ? null : `err Error: Execution timed out after ${timeout} seconds`,
      next: out("1"),
    },
  };
}

/** Each pattern must match a line after that of the pattern before it; else the pattern, and the lines. */
function missingOf(lines: readonly string[], patterns: readonly RegExp[]): string[] {
  let at = 0;
  for (const pattern of patterns) {
    const found = lines.slice(at).findIndex((line) => pattern.test(line));
    if (found < 0) return [`${pattern}`, ...lines.slice(0, MAX_SHOWN)];
    at += found + 1;
  }
  return [];
}
