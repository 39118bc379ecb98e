import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { findExecutable, runTool, streamTool, type ToolResult } from "../../../src/util/process.js";
import { isRunning } from "../../helpers/processes.js";
import { tempDir } from "../../helpers/temp-dir.js";

const node = (code: string): [string, string[]] => [process.execPath, ["-e", code]];

test("a tool's exit code and output are a result, whatever they are", async () => {
  const result = await runTool(
    ...node("console.log('out'); console.error('err'); process.exitCode = 3"),
  );
  expect(result).toEqual({ exitCode: 3, signal: null, stdout: "out\n", stderr: "err\n" });
});

test("a tool reads its input to the end, and an empty one when there is none", async () => {
  const echo = node("process.stdin.pipe(process.stdout)");
  const text = "käse\n".repeat(5_000);
  expect((await runTool(...echo, { input: text })).stdout).toBe(text);
  expect((await runTool(...echo, { input: Buffer.from([0x61]) })).stdout).toBe("a");
  expect(await runTool(...echo)).toMatchObject({ exitCode: 0, stdout: "" });
});

test("a tool that does not read its input ends as it likes", async () => {
  const result = await runTool(...node("process.exit(4)"), { input: "x".repeat(1e6) });
  expect(result.exitCode).toBe(4);
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

describe("a tool whose output is streamed", () => {
  const failed = (result: ToolResult): Error => new Error(`${result.exitCode} ${result.stderr}`);
  const read = async (source: AsyncIterable<Buffer>): Promise<string> => {
    const chunks: Buffer[] = [];
    for await (const chunk of source) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  };
  /** Ignores SIGTERM, starts a child that does so, too, and tells both ids. */
  const stubbornTree = `
    process.on("SIGTERM", () => {});
    const code = 'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000); console.log(process.pid)';
    const child = require("node:child_process").spawn(process.execPath, ["-e", code]);
    child.stdout.on("data", (pid) => process.stdout.write(process.pid + " " + pid));
    setInterval(() => {}, 1000)`;
  const pidsOf = (chunk: Buffer): number[] => chunk.toString().trim().split(" ").map(Number);

  test("gives all of it, and what it says besides to whoever listens", async () => {
    const said: string[] = [];
    const code = "process.stdout.write('x'.repeat(3e6)); console.error('working')";
    const onStderr = (chunk: Buffer): void => void said.push(chunk.toString());
    expect(await read(streamTool(...node(code), { failed, onStderr }))).toHaveLength(3e6);
    expect(said.join("")).toBe("working\n");
  });

  test("ends with an error after a failure, however much came before", async () => {
    const code = "process.stdout.write('x'.repeat(1e6)); console.error('no'); process.exitCode = 3";
    await expect(read(streamTool(...node(code), { failed }))).rejects.toThrow("3 no");
    const missing = streamTool("/nowhere/tool", [], { failed, installHint: "install it all" });
    await expect(read(missing)).rejects.toMatchObject({
      code: "MSB_ERR_TOOL_MISSING",
      message: expect.stringContaining("install it all") as string,
    });
  });

  test("is ended with its children when the signal aborts", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const tool = streamTool(...node(stubbornTree), { failed, signal, graceMs: 100 });
    const pids = pidsOf((await tool.next()).value as Buffer);
    controller.abort();
    await expect(tool.next()).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
    expect(await Promise.all(pids.map(isRunning))).toEqual([false, false]);
    await expect(streamTool(...node("0"), { failed, signal }).next()).rejects.toMatchObject({
      code: "MSB_ERR_ABORTED",
    });
  });

  test("is ended with its children when the reader wants no more", async () => {
    const tool = streamTool(...node(stubbornTree), { failed, graceMs: 100 });
    let pids: number[] = [];
    for await (const chunk of tool) {
      pids = pidsOf(chunk);
      break;
    }
    expect(pids).toHaveLength(2);
    expect(await Promise.all(pids.map(isRunning))).toEqual([false, false]);
  });
});
