import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ownedTool } from "../../../src/oci/recipe/owned-tool.js";
import { streamTool, type ToolResult } from "../../../src/util/process.js";
import { tempDir } from "../../helpers/temp-dir.js";

async function setUp() {
  const temp = join(await tempDir(), "tmp with a space");
  await mkdir(temp);
  /** Lines of a shell program that runs so, and how it ended. */
  async function run(script: string, signal?: AbortSignal) {
    const [path, args] = ownedTool("sh", ["-c", script]);
    let output = "";
    let failure: ToolResult | undefined;
    const failed = (result: ToolResult): Error => {
      failure = result;
      return new Error("failed");
    };
    const env = { ...process.env, TMPDIR: temp };
    const opts = { env, failed, ...(signal !== undefined && { signal }) };
    try {
      for await (const chunk of streamTool(path, args, opts)) output += chunk.toString();
    } catch (error) {
      if (failure === undefined) throw error;
    }
    return { output, failure };
  }
  return { temp, run };
}

test("output, last words and the exit code are the tool's", async () => {
  const { temp, run } = await setUp();
  expect(await run("echo out")).toEqual({ output: "out\n", failure: undefined });
  const { output, failure } = await run("echo out; echo why >&2; exit 7");
  expect([output, failure]).toMatchObject(["out\n", { exitCode: 7, stderr: "why\n" }]);
  expect(await readdir(temp)).toEqual([]);
});

test("its folder for temporary files goes with it, however it ends", async () => {
  const { temp, run } = await setUp();
  const { output, failure } = await run('touch "$TMPDIR/file"; echo "$TMPDIR"; kill -KILL $$');
  expect(output.startsWith(`${temp}/`)).toBe(true);
  expect(failure?.exitCode).toBe(137);
  expect(await readdir(temp)).toEqual([]);
});

test("what a killed tool leaves running is ended before its folder goes", async () => {
  const { temp, run } = await setUp();
  const child = 'while :; do mkdir -p "$TMPDIR/a"; n=$((n + 1)); : >"$TMPDIR/a/$n"; done';
  const { failure } = await run(`(${child}) 2>/dev/null & sleep 0.1; kill -KILL $$`);
  expect(failure?.exitCode).toBe(137);
  expect(await readdir(temp)).toEqual([]);
});

test.skipIf(process.getuid?.() !== 0)("what it mounts is seen by nobody else", async () => {
  const { temp, run } = await setUp();
  const script =
    'mount -t tmpfs tmpfs "$TMPDIR" && cat /proc/self/mountinfo; cat /proc/$PPID/mountinfo >&2; exit 1';
  const { output, failure } = await run(script);
  expect(output).toContain("msb-recipe-");
  expect(failure?.stderr).not.toContain("msb-recipe-");
  expect(await readdir(temp)).toEqual([]);
});

test("when it is stopped it may clean up, and has said so", async () => {
  const { temp, run } = await setUp();
  const controller = new AbortController();
  const running = run(
    "trap 'echo bye >&2; exit 0' TERM; while :; do sleep 0.1; done",
    controller.signal,
  );
  await expect.poll(() => readdir(temp)).toHaveLength(1);
  controller.abort();
  await expect(running).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
  expect(await readdir(temp)).toEqual([]);
});
