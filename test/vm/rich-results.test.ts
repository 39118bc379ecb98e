/** Values in all their forms, from real guests: figures and tables of the Python image, and what any image can give. */
import { inflateSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DriverName } from "../../src/hypervisor/driver.js";
import type { Kernels } from "../../src/kernel/kernels.js";
import { openKernels } from "../../src/kernel/open-kernels.js";
import type { Language, RichResult, RunEvent } from "../../src/kernel/run-types.js";
import { Images } from "../../src/oci/images.js";
import { msbPaths } from "../../src/paths.js";
import { ensureRecipeImage } from "../helpers/image-fixtures.js";
import { ServerHome } from "../helpers/server-home.js";
import { NODE_IMAGE, PYTHON_IMAGE } from "../helpers/server-images.js";
import { testDrivers, VmFixture } from "../helpers/vm-fixture.js";

/** Images with matplotlib and pandas, by driver: one of a gigabyte does not travel into the emulated KVM host. */
const LIBRARY_IMAGES: Readonly<Record<DriverName, readonly "python"[]>> = {
  qemu: ["python"],
  libkrun: [],
};
const MIB = 1024 ** 2;
/** Imports of pandas and matplotlib take long on an emulated processor. */
const TIMEOUT_MS = 150_000;
/** From the first word of matplotlib to the figure, on an emulated processor of a busy machine. */
const FIRST_PLOT_MS = 120_000;

interface Gave {
  readonly results: readonly RichResult[];
  readonly stdout: string;
  readonly stderr: string;
  readonly reason: string;
}

/** A guest of a disk, with its kernels. */
class Bench {
  private constructor(
    private readonly fixture: VmFixture,
    readonly kernels: Kernels,
    private readonly language: Language,
  ) {}

  static async open(
    driver: DriverName,
    language: Language,
    vm: { imageDisk: string; memoryMiB: number },
  ): Promise<Bench> {
    const fixture = await VmFixture.open(driver);
    const guest = await fixture.boot(vm);
    const kernels = await openKernels(guest.agent, {
      // As the recipe's image says.
      env: [
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "HOME=/root",
        "MPLCONFIGDIR=/var/cache/matplotlib",
      ],
      workdir: "/root",
      user: "root",
    });
    return new Bench(fixture, kernels, language);
  }

  async run(...lines: readonly string[]): Promise<Gave> {
    const code = lines.join("\n");
    const events: RunEvent[] = [];
    const run = this.kernels.run({ language: this.language, code, timeoutMs: TIMEOUT_MS });
    for await (const event of run) events.push(event);
    const textOf = (type: "stdout" | "stderr"): string =>
      events.map((event) => (event.type === type ? event.text : "")).join("");
    const end = events.at(-1);
    return {
      results: events.flatMap((event) => (event.type === "result" ? [event.result] : [])),
      stdout: textOf("stdout"),
      stderr: textOf("stderr"),
      reason: end?.type === "end" ? end.reason : "none",
    };
  }

  close(): Promise<void> {
    return this.fixture.dispose();
  }
}

describe.each(testDrivers)("results under %s", (driver) => {
  describe.each(LIBRARY_IMAGES[driver])("of the %s image's libraries", (recipe) => {
    let bench: Bench;
    beforeAll(async () => {
      const { disk } = await ensureRecipeImage(recipe);
      bench = await Bench.open(driver, "python", { imageDisk: disk, memoryMiB: 1024 });
    });
    afterAll(() => bench?.close());

    it("a figure is shown, soon, without any setup and without a display", async () => {
      const startedAt = performance.now();
      const { results, stderr, reason } = await bench.run(
        "import matplotlib.pyplot as plt",
        "figure, axes = plt.subplots()",
        "_lines = axes.plot([1, 4, 9])",
        "figure",
      );
      // Nothing of a font cache that it builds: the image has one.
      expect({ stderr, reason, count: results.length }).toEqual({
        stderr: "",
        reason: "completed",
        count: 1,
      });
      expect(performance.now() - startedAt).toBeLessThan(FIRST_PLOT_MS);
      expect(results[0]).toMatchObject({
        isValue: true,
        text: "<Figure size 640x480 with 1 Axes>",
      });
      expectPlot(results[0]);
      const { stdout } = await bench.run(
        "import os",
        "print([os.environ.get(name) for name in ('DISPLAY', 'WAYLAND_DISPLAY', 'MPLBACKEND')])",
      );
      expect(stdout).toBe("[None, None, None]\n");
    });

    it("plt.show() shows each open figure once, and closes them", async () => {
      const { results } = await bench.run(
        "for n in range(2):",
        "    _ = plt.figure(); _ = plt.plot([n, 1])",
        "plt.show()",
        "plt.show()",
        "plt.get_fignums()",
      );
      expect(results.map(({ isValue, png }) => [isValue, png !== undefined])).toEqual([
        [false, true],
        [false, true],
        [true, false],
      ]);
      expect(results[2]).toEqual({ isValue: true, text: "[]" });
      for (const figure of results.slice(0, 2)) expectPlot(figure);
    });

    it("a figure that is left open is shown at the end", async () => {
      const { results } = await bench.run("_ = plt.bar(['a', 'b'], [1, 2])", "print('drawn')");
      expect(results.map(({ isValue }) => isValue)).toEqual([false]);
      expectPlot(results[0]);
      expect((await bench.run("plt.get_fignums()")).results[0]?.text).toBe("[]");
    });

    it("a plot's texts may be of any script", async () => {
      const { results, stderr } = await bench.run(
        "_ = plt.title('Größe √2 ≤ π, Ωμέγα, Жук')",
        "_ = plt.plot([1, 2], label='naïve')",
        "_ = plt.legend()",
      );
      expect(stderr).toBe("");
      expectPlot(results[0]);
    });

    it("figures are written to files", async () => {
      const { stdout, results } = await bench.run(
        "_ = plt.plot([3, 1, 2])",
        "for kind in ('png', 'svg', 'pdf'):",
        "    plt.savefig(f'/tmp/plot.{kind}')",
        "    print(kind, open(f'/tmp/plot.{kind}', 'rb').read(5))",
        "plt.close()",
      );
      expect(stdout).toBe(`png b'\\x89PNG\\r'\nsvg b'<?xml'\npdf b'%PDF-'\n`);
      expect(results).toEqual([]);
    });

    it("a figure that cannot be drawn is its text", async () => {
      const { results, reason } = await bench.run(
        "broken = plt.figure()",
        "broken.savefig = None",
        "broken",
      );
      expect(reason).toBe("completed");
      expect(results[0]).toEqual({ isValue: true, text: "<Figure size 640x480 with 0 Axes>" });
    });

    it("frames and series of pandas are text and HTML, and plot", async () => {
      const { results, reason } = await bench.run(
        "import pandas as pd",
        "frame = pd.DataFrame({'name': ['ä', 'b'], 'n': [1, 2]})",
        "frame",
        "frame['n']",
        "_ = frame.plot(x='name', y='n')",
      );
      expect(reason).toBe("completed");
      const [table, series, plot] = results;
      expect(table?.text).toBe("  name  n\n0    ä  1\n1    b  2");
      expect(table?.html).toMatch(/<table[\s\S]*<th>name<\/th>[\s\S]*<td>ä<\/td>/);
      expect(series?.text).toBe("0    1\n1    2\nName: n, dtype: int64");
      expect(series?.html).toMatch(/<table/);
      expectPlot(plot);
      const large = await bench.run("pd.DataFrame({'x': range(100_000)})");
      expect(large.results[0]?.html).toMatch(/100000 rows/);
    });

    it("arrays of numpy are as the interpreter shows them", async () => {
      const { results, stdout, stderr, reason } = await bench.run(
        "import numpy as np",
        "np.arange(6).reshape(2, 3)",
        "np.zeros(100_000)",
        "print(np.array([1.5, 2]))",
        "np.linalg.inv(np.zeros((2, 2)))",
      );
      expect(results.map(({ text }) => text)).toEqual([
        "array([[0, 1, 2],\n       [3, 4, 5]])",
        "array([0., 0., 0., ..., 0., 0., 0.])",
      ]);
      expect(stdout).toBe("[1.5 2. ]\n");
      expect(stderr).toMatch(/LinAlgError: Singular matrix\n$/);
      expect(reason).toBe("exception");
    });
  });

  describe("of a small image", () => {
    let home: ServerHome;
    let disks: Record<Language, string>;
    const benches: Bench[] = [];
    beforeAll(async () => {
      home = await ServerHome.make();
      await using images = await Images.open({ paths: msbPaths(home.path), env: {} });
      const diskOf = async (name: string): Promise<string> =>
        (await images.ensure(name, { pullPolicy: "never" })).disk.path;
      disks = { python: await diskOf(PYTHON_IMAGE), node: await diskOf(NODE_IMAGE) };
    });
    afterAll(async () => {
      for (const bench of benches) await bench.close();
      await home?.[Symbol.asyncDispose]();
    });
    const open = async (language: Language): Promise<Bench> => {
      const vm = { imageDisk: disks[language], memoryMiB: 512 };
      const bench = await Bench.open(driver, language, vm);
      benches.push(bench);
      return bench;
    };

    it("values of Python have the forms that they offer, up to their limits", async () => {
      const bench = await open("python");
      const rich = await bench.run(
        "class Rich:",
        "    def __repr__(self): return 'Rich()'",
        "    def _repr_html_(self): return '<b>ü</b>'",
        "    def _repr_markdown_(self): return '**ü**'",
        "    def _repr_png_(self): return b'\\x89PNG'",
        "    def _repr_latex_(self): return '$x$'",
        "    def _repr_json_(self): return {'a': [1, None]}",
        "    def _repr_svg_(self): raise ValueError",
        "Rich()",
        "display(Rich())",
      );
      const forms = {
        text: "Rich()",
        html: "<b>ü</b>",
        markdown: "**ü**",
        png: Buffer.from("89504e47", "hex").toString("base64"),
        latex: "$x$",
        json: { a: [1, null] },
      };
      expect(rich.results).toEqual([
        { isValue: true, ...forms },
        { isValue: false, ...forms },
      ]);
      const large = await bench.run(
        "class Large:",
        "    def __repr__(self): return 'Large()'",
        `    def _repr_html_(self): return 'x' * ${9 * MIB}`,
        "Large()",
      );
      // The form, its size, and the rest as it was.
      expect(large.results).toEqual([
        { isValue: true, text: "Large()", omitted: { html: 9 * MIB } },
      ]);
      expect((await bench.run("1")).results).toEqual([{ isValue: true, text: "1" }]);
    });

    it("values of Node.js have the forms that they offer", async () => {
      const bench = await open("node");
      const { results } = await bench.run(
        "class Rich { [Symbol.for('msb.display')]() { return { html: '<b>ü</b>', json: [1] } } }",
        "new Rich()",
        "display(Buffer.from('89504e470d0a1a0a', 'hex'))",
      );
      expect(results).toEqual([
        { isValue: true, text: "Rich {}", html: "<b>ü</b>", json: [1] },
        {
          isValue: false,
          text: "<Buffer 89 50 4e 47 0d 0a 1a 0a>",
          png: Buffer.from("89504e470d0a1a0a", "hex").toString("base64"),
        },
      ]);
    });
  });
});

/** A whole PNG file in which more than one colour was drawn. */
function expectPlot(result: RichResult | undefined): void {
  const bytes = Buffer.from(result?.png ?? "", "base64");
  expect(bytes.subarray(0, 8).toString("latin1")).toBe("\x89PNG\r\n\x1a\n");
  const chunks = new Map<string, Buffer[]>();
  for (let at = 8; at + 12 <= bytes.length;) {
    const size = bytes.readUInt32BE(at);
    const name = bytes.toString("latin1", at + 4, at + 8);
    chunks.set(name, [...(chunks.get(name) ?? []), bytes.subarray(at + 8, at + 8 + size)]);
    at += 12 + size;
  }
  const [header] = chunks.get("IHDR") ?? [];
  expect(header!.readUInt32BE(0)).toBeGreaterThan(200);
  expect(header!.readUInt32BE(4)).toBeGreaterThan(200);
  expect(chunks.get("IEND")).toEqual([Buffer.alloc(0)]);
  expect(new Set(inflateSync(Buffer.concat(chunks.get("IDAT")!))).size).toBeGreaterThan(10);
}
