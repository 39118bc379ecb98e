import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { PYTHON_ROWS } from "../../../fixtures/kernel/python.js";
import { KernelDriver } from "../../../helpers/kernel-driver.js";
import { expectRow, KernelPool } from "../../../helpers/kernel-rows.js";
import { tempDir } from "../../../helpers/temp-dir.js";

const PNG = Buffer.from("89504e470d0a1a0a00", "hex").toString("base64");
const pool = new KernelPool("python");
afterAll(() => pool.stop());

const started: KernelDriver[] = [];
afterEach(async () => {
  for (const kernel of started.splice(0)) await kernel.stop();
});

async function start(opts: Parameters<typeof KernelDriver.start>[1] = {}): Promise<KernelDriver> {
  const kernel = await KernelDriver.start("python", opts);
  started.push(kernel);
  return kernel;
}

describe("Python code", () => {
  test.each(PYTHON_ROWS)("$name", (row) => expectRow(pool, row));

  test("the table holds each name once", () => {
    expect(new Set(PYTHON_ROWS.map(({ name }) => name)).size).toBe(PYTHON_ROWS.length);
  });
});

describe("the kernel program for Python", () => {
  test("it says its version when it can run code", async () => {
    expect((await start()).version).toMatch(/^3\.\d+\.\d+$/);
  });

  test("an error comes with its name, its text and the lines on stderr", async () => {
    const { error, stderr, reason } = await (await start()).run("raise KeyError('k')");
    expect(reason).toBe("exception");
    expect(error).toMatchObject({ name: "KeyError", value: "'k'" });
    expect(`${error!.traceback.join("\n")}\n`).toBe(stderr);
  });

  test("values and display() offer the forms that their types have", async () => {
    const { results } = await (
      await start()
    ).run(
      [
        "class Rich:",
        "    def __repr__(self): return 'rich'",
        "    def _repr_html_(self): return '<b>'",
        "    def _repr_markdown_(self): return ('**', {})",
        "    def _repr_svg_(self): raise ValueError('broken')",
        "    def _repr_png_(self): return bytes.fromhex('89504e470d0a1a0a00')",
        "    def _repr_latex_(self): return None",
        "    def _repr_json_(self): return {'a': [1]}",
        "class Bundle:",
        "    def __repr__(self): return 'bundle'",
        "    def _repr_mimebundle_(self, include=None, exclude=None):",
        "        return {'text/html': '<i>', 'image/jpeg': b'123', 'x/unknown': 1}, {}",
        "class Any:",
        "    def __repr__(self): return 'any'",
        "    def __getattr__(self, name): return lambda *a: name",
        "Rich()",
        "display(Bundle(), Any(), Rich)",
      ].join("\n"),
    );
    expect(results).toEqual([
      { isValue: true, text: "rich", html: "<b>", markdown: "**", png: PNG, json: { a: [1] } },
      { isValue: false, text: "bundle", html: "<i>", jpeg: "MTIz" },
      { isValue: false, text: "any" },
      { isValue: false, text: "<class '__main__.Rich'>" },
    ]);
  });

  test("forms that are too large for a message are left out, with their size", async () => {
    const { results } = await (await start()).run("'y' * (17 << 20)");
    expect(results).toEqual([{ isValue: true, omitted: { text: (17 << 20) + 4 } }]);
  });

  test("figures of matplotlib become results without any setup", async () => {
    const cwd = await fakeMatplotlib();
    const kernel = await start({ cwd });
    const shown = await kernel.run(
      "import matplotlib.pyplot as plt\nplt.figure()\nfig = plt.figure()\nfig\nplt.show()",
    );
    const figure = { text: "<Figure>", png: PNG };
    // Three values, of which one was shown before show() did the rest.
    expect(shown.results.map(({ isValue }) => isValue)).toEqual([true, true]);
    expect(shown.results[1]).toEqual({ isValue: true, ...figure });
    const atEnd = await kernel.run("x = plt.figure()");
    expect(atEnd.results).toEqual([{ isValue: false, ...figure }]);
    expect((await kernel.run("plt.get_fignums()")).lines).toEqual(["out []"]);
    const child = "import subprocess, os; os.environ.get('MPLBACKEND')";
    expect((await kernel.run(child)).lines).toEqual([]);
  });

  test("modules of the working directory do not get in the kernel's way", async () => {
    const cwd = await tempDir();
    for (const name of ["json", "queue", "traceback", "ast"]) {
      await writeFile(join(cwd, `${name}.py`), "raise SystemExit('hijacked')");
    }
    await writeFile(join(cwd, "mine.py"), "value = 7");
    expect((await (await start({ cwd })).run("import mine\nmine.value")).lines).toEqual(["out 7"]);
  });

  test("it answers sync between runs and while code runs", async () => {
    const kernel = await start();
    kernel.send({ type: "sync", nonce: "a1" });
    await kernel.until(() => kernel.messages.some((m) => m.type === "synced"));
    const run = kernel.run("print('in')\nwhile True: pass", { timeoutMs: 3000 });
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
    ["a loop", "print('go')\nwhile True: pass"],
    ["a sleep", "import time\nprint('go')\ntime.sleep(60)"],
    ["an await", "import asyncio\nprint('go')\nawait asyncio.sleep(60)"],
    ["output without end", "print('go')\nwhile True: print('x')"],
    ["a finally", "print('go')\ntry:\n    while True: pass\nfinally:\n    print('finally')"],
  ])("SIGINT interrupts %s, and the kernel goes on", async (_name, code) => {
    const kernel = await start();
    for (let round = 0; round < 5; round++) {
      const run = await kernel.run(code, { interruptAt: "go" });
      expect(run).toMatchObject({ reason: "interrupted", error: { name: "KeyboardInterrupt" } });
      expect(run.stderr).toMatch(/KeyboardInterrupt\n$/);
      expect((await kernel.run("1")).lines).toEqual(["out 1"]);
    }
  });

  test("SIGINT between runs does nothing", async () => {
    const kernel = await start();
    for (let round = 0; round < 20; round++) kernel.child.kill("SIGINT");
    expect((await kernel.run("x = 1\nx")).lines).toEqual(["out 1"]);
  });

  test("a KeyboardInterrupt of the code's own is an exception", async () => {
    expect((await (await start()).run("raise KeyboardInterrupt")).reason).toBe("exception");
  });

  test("lines that are no messages are skipped", async () => {
    const kernel = await start();
    kernel.control.write('\n\nnonsense\n{"type":"run"}\n[1]\n{"type":"else"}\n\xff\xfe\n');
    kernel.control.write(`${"[".repeat(100_000)}\n`);
    expect((await kernel.run("1")).lines).toEqual(["out 1"]);
  });

  test("it ends when the host is gone", async () => {
    const kernel = await start();
    kernel.control.destroy();
    expect(await kernel.until(() => kernel.hasEnded, 5000)).toBe(true);
  });

  test("what a thread writes between runs is there for the next", async () => {
    const kernel = await start();
    await kernel.run(
      "import threading, time\ndef later():\n    time.sleep(0.1)\n    print('later')\n    display(1)\nthreading.Thread(target=later).start()",
    );
    await kernel.until(() => kernel.text("out").includes("1\n"));
    expect((await kernel.run("'now'")).lines).toEqual(["out later", "out 1", "out 'now'"]);
  });

  test("after any sequence of code, print(1) prints 1", { timeout: 240_000 }, async () => {
    const snippets = fc.constantFrom(
      ...PYTHON_ROWS.filter((row) => row.timeoutMs === undefined && !row.name.startsWith("much")),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(snippets, { minLength: 1, maxLength: 6 }), async (rows) => {
        for (const { before, code } of rows) {
          if (before !== undefined) await (await pool.kernel()).run(before);
          await (await pool.kernel()).run(code);
        }
        expect((await (await pool.kernel()).run("print(1)")).lines).toContain("out 1");
      }),
      { numRuns: 25 },
    );
  });
});

/** A package with as much of matplotlib's interface as its backends use. */
async function fakeMatplotlib(): Promise<string> {
  const cwd = await tempDir();
  const root = join(cwd, "matplotlib");
  await mkdir(join(root, "backends"), { recursive: true });
  const files = {
    "__init__.py": "rcParams = {'backend': 'agg'}\n",
    "figure.py": [
      "class Figure:",
      "    def __repr__(self): return '<Figure>'",
      "    def savefig(self, file, format, **options):",
      "        assert format == 'png'",
      "        file.write(bytes.fromhex('89504e470d0a1a0a00'))",
    ].join("\n"),
    "pyplot.py": [
      "import importlib, matplotlib",
      "from matplotlib.figure import Figure",
      "name = matplotlib.rcParams['backend']",
      "assert name.startswith('module://'), name",
      "backend = importlib.import_module(name[len('module://'):])",
      "assert backend.FigureCanvas",
      "figures = {}",
      "def figure(number=None):",
      "    number = number or max(figures, default=0) + 1",
      "    return figures.setdefault(number, Figure())",
      "def get_fignums(): return sorted(figures)",
      "def close(which): figures.clear()",
      "def show(*args, **options): return backend.show(*args, **options)",
    ].join("\n"),
    "backends/__init__.py": "",
    "backends/backend_agg.py": "class FigureCanvasAgg: pass\nFigureCanvas = FigureCanvasAgg\n",
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(root, name), text);
  return cwd;
}
