/** What the tests of kernel programs share: kernels that end with their test, the table, and what every kernel does. */
import fc from "fast-check";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import type { Language } from "../../src/kernel/run-types.js";
import type { KernelRow } from "../fixtures/kernel/row.js";
import { KernelDriver, type KernelStartOpts } from "./kernel-driver.js";
import { expectRow, KernelPool } from "./kernel-rows.js";

/** How a language says what the shared tests need. */
export interface LanguageTests {
  readonly language: Language;
  readonly rows: readonly KernelRow[];
  readonly printOne: string;
  /** Prints "in" and goes on for ever. */
  readonly endless: string;
  /** Prints 0 to 299, each on a line, then waits for ever, all in one statement. */
  readonly printAndWait: string;
  /** Code that never ends of its own after it has printed "go". */
  readonly interruptible: readonly (readonly [name: string, code: string])[];
  readonly interruptName: string;
  /** Two interpreters that are started so have the same random numbers. */
  readonly sameNumbers: { readonly flags?: readonly string[]; readonly code: string };
  /** Prints what `sameNumbers` makes the same. */
  readonly number: string;
  readonly throwOne: string;
  readonly version: RegExp;
  /** Rows that are of no use between others. */
  readonly isLeftOut?: (row: KernelRow) => boolean;
}

/** Starts kernels that end with their test. */
export type StartKernel = (opts?: KernelStartOpts) => Promise<KernelDriver>;

/** Defines the tests, and returns what starts kernels in those that a language has besides. */
export function testKernelProgram(tests: LanguageTests): StartKernel {
  const { language, rows } = tests;
  const pool = new KernelPool(language);
  const started: KernelDriver[] = [];
  const start: StartKernel = async (opts = {}) => {
    const kernel = await KernelDriver.start(language, opts);
    started.push(kernel);
    return kernel;
  };
  afterAll(() => pool.stop());
  afterEach(async () => {
    for (const kernel of started.splice(0)) await kernel.stop();
  });

  describe(`${language} code`, () => {
    // oxlint-disable-next-line vitest/expect-expect -- both have their expectations in helpers
    test.each(rows)("$name", async (row) => {
      await expectRow(pool, row);
      expect((await (await pool.kernel()).run("1")).lines).toEqual(["out 1"]);
    });

    test("the table holds each name once", () => {
      expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
    });

    // oxlint-disable-next-line vitest/expect-expect
    test("after any sequence of it, 1 is printed", { timeout: 240_000 }, async () => {
      await expectAnySequence(pool, tests);
    });
  });

  describe(`a kernel for ${language}`, () => {
    testEveryKernel(start, tests);
  });
  return start;
}

async function expectAnySequence(pool: KernelPool, tests: LanguageTests): Promise<void> {
  const isUsable = (row: KernelRow): boolean =>
    row.timeoutMs === undefined && !row.name.startsWith("much") && !tests.isLeftOut?.(row);
  const snippets = fc.constantFrom(...tests.rows.filter(isUsable));
  await fc.assert(
    fc.asyncProperty(fc.array(snippets, { minLength: 1, maxLength: 6 }), async (sequence) => {
      for (const { before, code } of sequence) {
        if (before !== undefined) await (await pool.kernel()).run(before);
        await (await pool.kernel()).run(code);
      }
      expect((await (await pool.kernel()).run(tests.printOne)).lines).toContain("out 1");
    }),
    { numRuns: 25 },
  );
}

function testEveryKernel(start: StartKernel, tests: LanguageTests): void {
  test("it says its version when it can run code", async () => {
    expect((await start()).version).toMatch(tests.version);
  });

  test("it answers sync between runs and while code runs", async () => {
    const kernel = await start();
    kernel.send({ type: "sync", nonce: "a1" });
    await kernel.until(() => kernel.messages.some((m) => m.type === "synced"));
    const run = kernel.run(tests.endless, { timeoutMs: 3000 });
    await kernel.until(() => kernel.text("out").includes("in"));
    kernel.send({ type: "sync", nonce: "b2" });
    await kernel.until(() => kernel.messages.some((m) => m.nonce === "b2"), 2000);
    kernel.child.kill("SIGINT");
    expect((await run).reason).toBe("interrupted");
    const synced = kernel.messages.filter((m) => m.type === "synced");
    const { id } = kernel.messages.find((m) => m.type === "end")!;
    expect(synced).toEqual([
      { type: "synced", nonce: "a1", running: null },
      { type: "synced", nonce: "b2", running: id },
    ]);
  });

  test.each(tests.interruptible)(
    "SIGINT interrupts %s, and the kernel goes on",
    async (_name, code) => {
      const kernel = await start();
      for (let round = 0; round < 5; round++) {
        const run = await kernel.run(code, { interruptAt: "go" });
        expect(run).toMatchObject({ reason: "interrupted", error: { name: tests.interruptName } });
        expect(run.stderr).toContain(tests.interruptName);
        expect((await kernel.run(tests.printOne)).lines).toEqual(["out 1"]);
      }
    },
  );

  test("many prints are seen while the code behind them waits", async () => {
    const kernel = await start();
    const run = kernel.run(tests.printAndWait, { timeoutMs: 15_000 });
    expect(await kernel.until(() => kernel.text("out").endsWith("\n299\n"), 10_000)).toBe(true);
    kernel.child.kill("SIGINT");
    expect((await run).reason).toBe("interrupted");
  });

  test("lines that are no messages are skipped", async () => {
    const kernel = await start();
    kernel.control.write('\n\nnonsense\nnull\n{"type":"run"}\n[1]\n{"type":"else"}\n\xff\xfe\n');
    kernel.control.write(`${"[".repeat(100_000)}\n`);
    expect((await kernel.run("1")).lines).toEqual(["out 1"]);
  });

  test("it draws random numbers of its own when it is told to, and only then", async () => {
    const { flags = [], code } = tests.sameNumbers;
    const copies = await Promise.all([1, 2, 3].map(() => start({ flags })));
    const numbers: string[] = [];
    for (const [index, copy] of copies.entries()) {
      await copy.run(code);
      const answer = await copy.sync(index === 0 ? {} : { reseed: true });
      expect(answer).toMatchObject({ type: "synced", running: null });
      numbers.push((await copy.run(tests.number)).stdout);
    }
    const original = await start({ flags });
    await original.run(code);
    expect((await original.run(tests.number)).stdout).toBe(numbers[0]);
    expect(new Set(numbers).size).toBe(3);
  });

  test("it counts its code anew when it is told that it is a copy", async () => {
    const kernel = await start();
    await kernel.run("1");
    expect((await kernel.run(tests.throwOne)).stderr).toContain("<code 2>");
    await kernel.sync({ reseed: true });
    expect((await kernel.run(tests.throwOne)).stderr).toContain("<code 1>");
    await kernel.sync();
    expect((await kernel.run(tests.throwOne)).stderr).toContain("<code 2>");
  });

  test("it ends when the host is gone", async () => {
    const kernel = await start();
    kernel.control.destroy();
    expect(await kernel.until(() => kernel.hasEnded, 5000)).toBe(true);
  });
}
