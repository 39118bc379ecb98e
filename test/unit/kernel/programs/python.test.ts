import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { PYTHON_ROWS } from "../../../fixtures/kernel/python.js";
import { testKernelProgram } from "../../../helpers/kernel-programs.js";
import { tempDir } from "../../../helpers/temp-dir.js";

const PNG = Buffer.from("89504e470d0a1a0a00", "hex").toString("base64");
const start = testKernelProgram({
  language: "python",
  rows: PYTHON_ROWS,
  printOne: "print(1)",
  endless: "print('in')\nwhile True: pass",
  printAndWait: "import time\nif True:\n    for n in range(300): print(n)\n    time.sleep(60)",
  interruptible: [
    ["a loop", "print('go')\nwhile True: pass"],
    ["a sleep", "import time\nprint('go')\ntime.sleep(60)"],
    ["an await", "import asyncio\nprint('go')\nawait asyncio.sleep(60)"],
    ["output without end", "print('go')\nwhile True: print('x')"],
    ["a finally", "print('go')\ntry:\n    while True: pass\nfinally:\n    print('finally')"],
  ],
  interruptName: "KeyboardInterrupt",
  sameNumbers: { code: "import random\nrandom.seed(7)" },
  number: "print(random.random())",
  throwOne: "raise ValueError",
  version: /^3\.\d+\.\d+$/,
});

describe("the kernel program for Python", () => {
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

  test("numpy draws anew, too, in a copy; what runs is not disturbed by it", async () => {
    const kernel = await start();
    await kernel.run(
      "import sys, types\nseeded = []\nfake = types.ModuleType('numpy.random')\n" +
        "fake.seed = lambda: seeded.append(1)\nsys.modules['numpy.random'] = fake",
    );
    const run = kernel.run("print('in')\nwhile True: pass", { timeoutMs: 3_000 });
    await kernel.until(() => kernel.text("out").includes("in"));
    expect((await kernel.sync({ reseed: true }))?.running).toEqual(expect.any(String));
    kernel.child.kill("SIGINT");
    expect((await run).reason).toBe("interrupted");
    expect((await kernel.run("len(seeded)")).lines).toEqual(["out 1"]);
  });

  test("SIGINT between runs does nothing", async () => {
    const kernel = await start();
    for (let round = 0; round < 20; round++) kernel.child.kill("SIGINT");
    expect((await kernel.run("x = 1\nx")).lines).toEqual(["out 1"]);
  });

  test("a KeyboardInterrupt of the code's own is an exception", async () => {
    expect((await (await start()).run("raise KeyboardInterrupt")).reason).toBe("exception");
  });

  test("handlers of the user's for signals are called in the user's code alone", async () => {
    const kernel = await start();
    await kernel.run(
      "import signal\ndef late(*a): raise ValueError('late')\nsignal.signal(signal.SIGALRM, late)\nNone",
    );
    for (const delay of [0.0001, 0.001, 0.01]) {
      await kernel.run(`signal.setitimer(signal.ITIMER_REAL, ${delay}) and None`);
      await sleep(30);
      await kernel.run("x = 1");
      expect((await kernel.run("print(1)")).lines).toEqual(["out 1"]);
    }
    await kernel.run("signal.setitimer(signal.ITIMER_REAL, 0.05) and None");
    await sleep(100);
    const { reason, error } = await kernel.run("x = 1");
    expect({ reason, error }).toMatchObject({ reason: "exception", error: { value: "late" } });
  });

  test("a process that forks while prints are shown leaves no lock to its child", async () => {
    const kernel = await start();
    const code = [
      "import os, time",
      "for go in range(400):",
      "    for n in range(300): print(n)",
      "    child = os.fork()",
      "    if child == 0:",
      "        print('child')",
      "        os._exit(0)",
      "    until = time.monotonic() + 10",
      "    while os.waitpid(child, os.WNOHANG)[0] == 0:",
      "        if time.monotonic() > until:",
      "            os.kill(child, 9)",
      "            raise RuntimeError('the child of fork %d hangs' % go)",
      "        time.sleep(0.0005)",
    ].join("\n");
    const { error, stdout } = await kernel.run(code, { timeoutMs: 100_000 });
    expect({ error, children: stdout.split("child\n").length - 1 }).toEqual({
      error: null,
      children: 400,
    });
  });

  test("what a thread writes between runs is there for the next", async () => {
    const kernel = await start();
    await kernel.run(
      "import threading, time\ndef later():\n    time.sleep(0.1)\n    print('later')\n    display(1)\nthreading.Thread(target=later).start()",
    );
    await kernel.until(() => kernel.text("out").includes("1\n"));
    expect((await kernel.run("'now'")).lines).toEqual(["out later", "out 1", "out 'now'"]);
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
