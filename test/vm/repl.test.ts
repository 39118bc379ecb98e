/** The tables of what code gives, through `sandbox.repl.run` of a server, on sandboxes that really run. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NODE_ROWS } from "../fixtures/kernel/node.js";
import { PYTHON_ROWS } from "../fixtures/kernel/python.js";
import type { KernelRow } from "../fixtures/kernel/row.js";
import { NODE_IMAGE, PYTHON_IMAGE } from "../helpers/server-images.js";
import { TestServer } from "../helpers/server-process.js";
import { testDrivers } from "../helpers/vm-fixture.js";
import { type Line, out, SMALL, WireSandbox } from "../helpers/wire.js";

/** The wire knows whole seconds. */
const MIN_TIMEOUT_S = 2;
const STATE_LOST = "err Error: A new interpreter was started; all its state was lost";
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

    it.each(rows)("$name", async (row) => {
      const { seen, wanted, isNew } = await tryRow(box, language, row);
      expect(seen).toEqual(wanted);
      if (row.isLast && !isNew) await box.restartContext(language);
    });

    it("has no more rows of one name than one", () => {
      expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
    });
  });
});

interface RowFacts {
  readonly status: string;
  /** Where the table does not say all of them, null and what was looked for in vain. */
  readonly lines: readonly string[] | null;
  readonly missing: readonly string[];
  /** Of code that was given too little time: that it was told so, and at most of lost state behind that. */
  readonly timeout: string | null;
  /** What the next code gives. */
  readonly next: readonly Line[];
}

/** What a row gives and what it should; and whether its interpreter is a new one now. */
async function tryRow(
  box: WireSandbox,
  language: string,
  row: KernelRow,
): Promise<{ seen: RowFacts; wanted: RowFacts; isNew: boolean }> {
  const run = (code: string, opts: { timeout?: number } = {}) =>
    box.run(code, { language, ...opts });
  if (row.before !== undefined) await run(row.before);
  if (row.pauseMs !== undefined) await sleep(row.pauseMs);
  const timeout =
    row.timeoutMs === undefined ? null : Math.max(MIN_TIMEOUT_S, Math.ceil(row.timeoutMs / 1000));
  const { status, output } = await run(row.code, timeout === null ? {} : { timeout });
  const lines = output.map(({ stream, text }) => `${stream === "stdout" ? "out" : "err"} ${text}`);
  const next = (await run("1")).output;
  return {
    isNew: lines.includes(STATE_LOST),
    seen: {
      status,
      lines: row.lines === undefined ? null : lines,
      missing: missingOf(lines, row.linesMatch ?? []),
      timeout: timeout === null ? null : (lines.filter((line) => line !== STATE_LOST).at(-1) ?? ""),
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
