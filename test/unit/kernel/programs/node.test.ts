import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { NODE_ROWS } from "../../../fixtures/kernel/node.js";
import { testKernelProgram } from "../../../helpers/kernel-programs.js";
import { tempDir } from "../../../helpers/temp-dir.js";

const PNG = Buffer.from("89504e470d0a1a0a00", "hex");
const start = testKernelProgram({
  language: "node",
  rows: NODE_ROWS,
  printOne: "console.log(1)",
  endless: "console.log('in'); for (;;);",
  printAndWait:
    "await new Promise(() => setTimeout(() => { for (let n = 0; n < 300; n++) console.log(n) }, 1))",
  interruptible: [
    ["a loop", "console.log('go'); for (;;);"],
    ["an await", "console.log('go'); await new Promise(() => {})"],
    ["a loop that catches everything", "console.log('go'); for (;;) try { for (;;); } catch {}"],
    ["output without end", "for (;;) console.log('go')"],
    ["a loop behind an await", "console.log('go'); await 1; for (;;);"],
  ],
  interruptName: "Interrupted",
  sameNumbers: { flags: ["--random-seed=7"], code: "1" },
  number: "console.log(Math.random(), Math.random())",
  throwOne: "throw new Error('x')",
  version: /^\d+\.\d+\.\d+$/,
  isLeftOut: (row) => row.isLast === true,
});

describe("the kernel program for Node.js", () => {
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
      // Signals and messages take different ways: one that comes with a run is taken to mean it.
      await sleep(100);
    }
    expect((await kernel.run("console.log(1)")).lines).toEqual(["out 1"]);
    const run = await kernel.run("console.log('go'); for (;;);", { interruptAt: "go" });
    expect(run.reason).toBe("interrupted");
  });
});
