import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { stopReason } from "../../../../../src/cli/error-report.js";
import type { CodeContext, RunEvent } from "../../../../../src/kernel/run-types.js";
import { END, fakeSandbox } from "../../../../helpers/fake-sandboxes.js";
import { sandboxCli } from "../../../../helpers/sandbox-cli.js";
import { tempDir } from "../../../../helpers/temp-dir.js";

type End = Extract<RunEvent, { type: "end" }>;

const PIXEL = Buffer.from("\u0089PNG picture");
const figure: RunEvent = {
  type: "result",
  result: { isValue: false, text: "<Figure>", png: PIXEL.toString("base64") },
};
const ended = (facts: Partial<End>): End => ({ ...(END as End), ...facts });

/** A sandbox `lab` of `image` whose code does `events`. */
async function labWith(events: readonly RunEvent[], image = "python") {
  const test = await sandboxCli();
  const { spec } = fakeSandbox({ namespace: "default", name: "lab" });
  test.sandboxes.add("default", "lab", { spec: { ...spec, image } });
  test.sandboxes.run = async function* () {
    yield* events;
  };
  const request = () => test.argsOf("runCode").at(-1)?.[1];
  return { ...test, request };
}

describe("code", () => {
  it("runs what -c says, passes output on and prints values", async () => {
    const { run, request } = await labWith([
      { type: "stdout", text: "a\u001b[1m" },
      { type: "stderr", text: "b\n" },
      { type: "result", result: { isValue: true, text: "42" } },
      { type: "result", result: { isValue: true, omitted: { text: 9e6 } } },
      END,
    ]);
    const result = await run(["code", "lab", "-c", "6 * 7", "--timeout", "1m"]);
    expect(result).toMatchObject({
      exitCode: 0,
      stdout: "a\u001b[1m42\n[9000000 bytes of a value were left out]\n",
      stderr: "b\n",
    });
    expect(request()).toEqual({ language: "python", code: "6 * 7", timeoutMs: 60_000 });
  });

  it("runs a file in the language of its ending, and standard input", async () => {
    const { run, request } = await labWith([END]);
    const folder = await tempDir();
    for (const [name, language] of [
      ["a.py", "python"],
      ["a.mjs", "node"],
      ["a.JS", "node"],
      ["a.txt", "python"],
    ] as const) {
      await writeFile(join(folder, name), `# ${name}\n`);
      expect((await run(["code", "lab", join(folder, name)])).exitCode).toBe(0);
      expect(request()).toMatchObject({ language, code: `# ${name}\n` });
    }
    for (const words of [["-"], []]) {
      await run(["code", "lab", ...words, "-l", "node"], { stdin: "typed" });
      expect(request()).toMatchObject({ language: "node", code: "typed" });
    }
  });

  it.each([
    ["registry.example.com/python:3.12-slim", "python"],
    ["node@sha256:abc", "node"],
    ["msb-ts/node", "node"],
  ])("is in the language of the image %s", async (image, language) => {
    const { run, request } = await labWith([END], image);
    await run(["code", "lab", "-c", "1"]);
    expect(request()).toMatchObject({ language });
  });

  describe("in an image that does not tell its language", () => {
    const python: CodeContext = {
      id: "python",
      language: "python",
      isDefault: true,
      state: "absent",
      workdir: "/",
      env: [],
      createdAt: "2026-01-01T00:00:00.000Z",
    };
    const node: CodeContext = { ...python, id: "node", language: "node" };

    it("is in the only one there is, or that was started", async () => {
      const { run, request, sandboxes } = await labWith([END], "alpine");
      for (const [contexts, language] of [
        [[python], "python"],
        [[python, { ...node, state: "idle" }], "node"],
      ] as const) {
        sandboxes.contextsOf = [...contexts];
        await run(["code", "lab", "-c", "1"]);
        expect(request()).toMatchObject({ language });
      }
    });

    it("is in that of its context", async () => {
      const { run, request, sandboxes } = await labWith([END], "alpine");
      sandboxes.contextsOf = [python, node, { ...node, id: "c1", isDefault: false }];
      await run(["code", "lab", "-c", "1", "--context", "c1"]);
      expect(request()).toMatchObject({ language: "node", contextId: "c1" });
    });

    it("has to say it else", async () => {
      const { run, sandboxes } = await labWith([END], "alpine");
      sandboxes.contextsOf = [python, node];
      const { exitCode, stderr } = await run(["code", "lab", "-c", "1"]);
      expect(stderr).toMatch(/--language python or node.*\(MSB_ERR_INVALID_ARGUMENT\)/);
      expect(exitCode).toBe(2);
    });
  });

  it.each([
    [{ reason: "exception" }, ""],
    [{ reason: "timeout" }, "--timeout"],
    [{ reason: "interrupted" }, "was interrupted"],
    [{ reason: "exited", stateLost: true }, "names and imports are gone"],
    [{ reason: "died", stateLost: true }, "The interpreter ended"],
  ] as const)("that ends with %j exits with 1", async (facts, note) => {
    const error = { name: "ValueError", value: "no", traceback: ["line"] };
    const { run } = await labWith([
      { type: "stderr", text: "ValueError: no\n" },
      { type: "error", error },
      ended({ status: "error", ...facts }),
    ]);
    const result = await run(["code", "lab", "-c", "x"]);
    expect(result.stderr).toMatch(/^ValueError: no\n/);
    expect(result.stderr.slice("ValueError: no\n".length)).toMatch(note === "" ? /^$/ : note);
    expect(result.exitCode).toBe(1);
  });

  it("keeps pictures as files, and writes over none", async () => {
    const svg: RunEvent = { type: "result", result: { isValue: true, svg: "<svg/>" } };
    const { run } = await labWith([figure, svg, END]);
    const folder = join(await tempDir(), "plots");
    const words = ["code", "lab", "-c", "plot()", "--save-dir", folder];
    const { exitCode, stdout, stderr } = await run(words);
    expect([exitCode, stdout]).toEqual([0, "<Figure>\n"]);
    expect(stderr).toBe(`Saved ${folder}/picture-1.png\nSaved ${folder}/picture-2.svg\n`);
    await run(words);
    expect((await readdir(folder)).toSorted()).toEqual([
      "picture-1.png",
      "picture-2.png",
      "picture-2.svg",
      "picture-3.svg",
    ]);
    expect(await readFile(join(folder, "picture-1.png"))).toEqual(PIXEL);
  });

  it("says so when there are pictures that nobody keeps, and when they cannot be kept", async () => {
    const { run } = await labWith([figure, figure, END]);
    const { stderr } = await run(["code", "lab", "-c", "plot()"]);
    expect(stderr).toBe("msb-ts: 2 pictures not shown: --save-dir DIR keeps them as files.\n");
    const failed = await run(["code", "lab", "-c", "plot()", "--save-dir", "/dev/null/x"]);
    expect(failed.stderr).toMatch(/picture-1\.png cannot be written.*\(MSB_ERR_FILE_FAILED\)/);
    expect(failed.exitCode).toBe(74);
  });

  it("is one document with --json", async () => {
    const error = { name: "ValueError", value: "no", traceback: ["line"] };
    const { run } = await labWith([
      { type: "stdout", text: "a" },
      { type: "stderr", text: "b" },
      { type: "stdout", text: "c" },
      { type: "result", result: { isValue: true, text: "1" } },
      { type: "error", error },
      ended({ status: "error", reason: "exception" }),
    ]);
    const { exitCode, stdout, stderr } = await run(["code", "lab", "-c", "x", "--json"]);
    expect(JSON.parse(stdout)).toEqual({
      status: "error",
      reason: "exception",
      durationMs: 5,
      stateLost: false,
      stdout: "ac",
      stderr: "b",
      results: [{ isValue: true, text: "1" }],
      error,
      files: [],
    });
    expect([exitCode, stderr]).toEqual([1, ""]);
  });

  it("makes values printable for a terminal", async () => {
    const value: RunEvent = { type: "result", result: { isValue: true, text: "\u001b[2Jx" } };
    const { run } = await labWith([value, END]);
    const { stdout } = await run(["code", "lab", "-c", "x"], { terminals: ["stdout"] });
    expect(stdout).toBe("\ufffd[2Jx\n");
  });

  it("that is stopped is interrupted", async () => {
    const { run, sandboxes } = await labWith([]);
    const stop = new AbortController();
    sandboxes.run = async function* (_request, { signal }) {
      yield { type: "stdout", text: "begun\n" };
      stop.abort(stopReason("SIGINT"));
      await new Promise((resolve) => signal!.addEventListener("abort", resolve, { once: true }));
    };
    const { exitCode } = await run(["code", "lab", "-c", "x"], { signal: stop.signal });
    expect(exitCode).toBe(130);
    await expect.poll(() => sandboxes.open).toBe(0);
  });

  it("tells what is wrong with its words and its file", async () => {
    const { run } = await labWith([END]);
    const both = await run(["code", "lab", "file.py", "-c", "1"]);
    expect([both.exitCode, both.stderr]).toEqual([
      2,
      expect.stringContaining("do not go together"),
    ]);
    const missing = await run(["code", "lab", "/no/such.py"]);
    expect([missing.exitCode, missing.stderr]).toEqual([
      66,
      expect.stringContaining("(MSB_ERR_FILE_NOT_FOUND)"),
    ]);
    const folder = await run(["code", "lab", "/tmp"]);
    expect([folder.exitCode, folder.stderr]).toEqual([
      74,
      expect.stringContaining("(MSB_ERR_FILE_FAILED)"),
    ]);
    const language = await run(["code", "lab", "-l", "perl"]);
    expect(language.exitCode).toBe(2);
  });
});
