import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findExecutable, runTool } from "../../../src/util/process.js";
import { tempDir } from "../../helpers/temp-dir.js";

const node = (code: string): [string, string[]] => [process.execPath, ["-e", code]];

test("a tool's exit code and output are a result, whatever they are", async () => {
  const result = await runTool(
    ...node("console.log('out'); console.error('err'); process.exitCode = 3"),
  );
  expect(result).toEqual({ exitCode: 3, signal: null, stdout: "out\n", stderr: "err\n" });
});

test("only the last 64 KiB of a tool's words are kept", async () => {
  const result = await runTool(...node("process.stderr.write('a'.repeat(1e6) + 'END')"));
  expect(result.stderr).toHaveLength(64 * 1024);
  expect(result.stderr.endsWith("END")).toBe(true);
});

test("a tool that is not there is named with what to install", async () => {
  const running = runTool("/nowhere/mkfs", [], { installHint: "install the package e2fsprogs" });
  await expect(running).rejects.toMatchObject({
    code: "MSB_ERR_TOOL_MISSING",
    message: expect.stringMatching(/\/nowhere\/mkfs.*install the package e2fsprogs/) as string,
  });
});

test("a tool that is too slow or unwanted is ended, even if it ignores SIGTERM", async () => {
  const stubborn = "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)";
  await expect(runTool(...node(stubborn), { timeoutMs: 300 })).rejects.toMatchObject({
    code: "MSB_ERR_REQUEST_TIMEOUT",
  });
  const signal = AbortSignal.timeout(200);
  await expect(runTool(...node(stubborn), { signal })).rejects.toMatchObject({
    code: "MSB_ERR_ABORTED",
  });
  await expect(runTool(...node("0"), { signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: "MSB_ERR_ABORTED",
  });
});

test("executables are found in PATH by their mode, and never in a relative folder", async () => {
  const dir = await tempDir();
  const path = join(dir, "msb-test-tool");
  await writeFile(path, "#!/bin/sh\n");
  const env = { PATH: `.:${dir}` };
  expect(await findExecutable("msb-test-tool", { env })).toBeUndefined();
  await chmod(path, 0o755);
  expect(await findExecutable("msb-test-tool", { env })).toBe(path);
});
