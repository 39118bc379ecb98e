import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { NODE_ROWS } from "../../../fixtures/kernel/node.js";
import { KernelDriver } from "../../../helpers/kernel-driver.js";
import { expectRow, KernelPool } from "../../../helpers/kernel-rows.js";
import { tempDir } from "../../../helpers/temp-dir.js";

const PNG = Buffer.from("89504e470d0a1a0a00", "hex");
const pool = new KernelPool("node");
afterAll(() => pool.stop());

const started: KernelDriver[] = [];
afterEach(async () => {
  for (const kernel of started.splice(0)) await kernel.stop();
});

async function start(opts: Parameters<typeof KernelDriver.start>[1] = {}): Promise<KernelDriver> {
  const kernel = await KernelDriver.start("node", opts);
  started.push(kernel);
  return kernel;
}

describe("Node.js code", () => {
  test.each(NODE_ROWS)("$name", (row) => expectRow(pool, row));

  test("the table holds each name once", () => {
    expect(new Set(NODE_ROWS.map(({ name }) => name)).size).toBe(NODE_ROWS.length);
  });
});

describe("the kernel program for Node.js", () => {
  test("it says its version when it can run code", async () => {
    expect((await start()).version).toMatch(/^\d+\.\d+\.\d+$/);
  });

  test("an error comes with its name, its text and the lines on stderr", async () => {
    const { error, stderr, reason } = await (await start()).run("throw new RangeError('far')");
    expect(reason).toBe("exception");
    expect(error).toMatchObject({ name: "RangeError", value: "far" });
    expect(`${error!.traceback.join("\n")}\n`).toBe(stderr);
  });

  test("values and display() offer the forms that they have", async () => {
    const { results } = await (
      await start()
    ).run(
      [
        `const png = Buffer.from("${PNG.toString("hex")}", "hex");`,
        "class Rich { [Symbol.for('msb.display')]() {",
        "  return { html: '<b>', png, json: { a: [1] }, svg: 5, other: 'x' }; } }",
        "class Broken { [Symbol.for('msb.display')]() { throw new Error('broken') } }",
        "new Rich()",
        "png",
        "display({ html: '<i>' }, { html: '<i>', more: 1 }, new Broken(), null);",
      ].join("\n"),
    );
    expect(results).toEqual([
      {
        isValue: true,
        text: "Rich {}",
        html: "<b>",
        png: PNG.toString("base64"),
        json: { a: [1] },
      },
      {
        isValue: true,
        text: "<Buffer 89 50 4e 47 0d 0a 1a 0a 00>",
        png: PNG.toString("base64"),
      },
      { isValue: false, text: "{ html: '<i>' }", html: "<i>" },
      { isValue: false, text: "{ html: '<i>', more: 1 }" },
      { isValue: false, text: "Broken {}" },
      { isValue: false, text: "null" },
    ]);
  });

  test("forms that are too large for a message are left out, with their size", async () => {
    const code = "display({ html: 'y'.repeat(17 << 20), text: 'short' })";
    const { results } = await (await start()).run(code);
    expect(results).toEqual([{ isValue: false, text: "short", omitted: { html: (17 << 20) + 2 } }]);
  });

  test("modules are found from the working directory", async () => {
    const cwd = await tempDir();
    await writeFile(join(cwd, "mine.cjs"), "exports.value = 7");
    await writeFile(join(cwd, "mine.mjs"), "export const value = 8");
    const kernel = await start({ cwd });
    const code =
      "require('./mine.cjs').value;\n(await import('./mine.mjs')).value\nimport { value } from './mine.mjs'\nvalue";
    const run = await kernel.run(code);
    expect(run.lines).toEqual(["out 7", "out 8", "out 8"]);
  });

  test("without Node's parser, code runs as one script", async () => {
    const kernel = await start({ withoutInternals: true });
    expect((await kernel.run("const a = 1; var b = 2\na + b")).lines).toEqual(["out 3"]);
    expect((await kernel.run("a")).lines).toEqual(["out 1"]);
    expect((await kernel.run("let = = 1")).stderr).toMatch(/SyntaxError/);
    const run = await kernel.run("console.log('go'); for (;;);", { interruptAt: "go" });
    expect(run.reason).toBe("interrupted");
  });

  test("it answers sync between runs and while code runs", async () => {
    const kernel = await start();
    kernel.send({ type: "sync", nonce: "a1" });
    await kernel.until(() => kernel.messages.some((m) => m.type === "synced"));
    const run = kernel.run("console.log('in'); for (;;);", { timeoutMs: 3000 });
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

  test.each([
    ["a loop", "console.log('go'); for (;;);"],
    ["an await", "console.log('go'); await new Promise(() => {})"],
    ["a loop that catches everything", "console.log('go'); for (;;) try { for (;;); } catch {}"],
    ["output without end", "for (;;) console.log('go')"],
    ["a loop behind an await", "console.log('go'); await 1; for (;;);"],
  ])("SIGINT interrupts %s, and the kernel goes on", async (_name, code) => {
    const kernel = await start();
    for (let round = 0; round < 5; round++) {
      const run = await kernel.run(code, { interruptAt: "go" });
      expect(run).toMatchObject({ reason: "interrupted", error: { name: "Interrupted" } });
      expect((await kernel.run("console.log(1)")).lines).toEqual(["out 1"]);
    }
  });

  test("SIGINT between runs does nothing, also after a listener of the user's", async () => {
    const kernel = await start();
    for (const code of [
      "1",
      "process.on('SIGINT', () => {}); 2",
      "process.removeAllListeners(); 3",
    ]) {
      await kernel.run(code);
      if (code.endsWith("3")) await kernel.run("4");
      for (let round = 0; round < 5; round++) kernel.child.kill("SIGINT");
    }
    expect((await kernel.run("console.log(1)")).lines).toEqual(["out 1"]);
    const run = await kernel.run("console.log('go'); for (;;);", { interruptAt: "go" });
    expect(run.reason).toBe("interrupted");
  });

  test("lines that are no messages are skipped", async () => {
    const kernel = await start();
    kernel.control.write('\n\nnonsense\nnull\n{"type":"run"}\n[1]\n{"type":"else"}\n\xff\xfe\n');
    expect((await kernel.run("1")).lines).toEqual(["out 1"]);
  });

  test("it ends when the host is gone", async () => {
    const kernel = await start();
    kernel.control.destroy();
    expect(await kernel.until(() => kernel.hasEnded, 5000)).toBe(true);
  });

  test("after any sequence of code, console.log(1) prints 1", { timeout: 240_000 }, async () => {
    const snippets = fc.constantFrom(
      ...NODE_ROWS.filter(
        (row) => row.timeoutMs === undefined && row.isLast !== true && !row.name.startsWith("much"),
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(snippets, { minLength: 1, maxLength: 6 }), async (rows) => {
        for (const { before, code } of rows) {
          if (before !== undefined) await (await pool.kernel()).run(before);
          await (await pool.kernel()).run(code);
        }
        const run = await (await pool.kernel()).run("console.log(1)");
        expect(run.lines).toContain("out 1");
      }),
      { numRuns: 25 },
    );
  });
});
