import { mkdir, readdir, readFile, realpath, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { ownedTool } from "../../../src/oci/recipe/owned-tool.js";
import { sweepRecipeFolders } from "../../../src/oci/recipe/stale-folders.js";
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

describe("a sweep", () => {
  const KILLED = 'mkdir "$TMPDIR/a"; touch "$TMPDIR/a/file"; kill -KILL 0';

  /** As if it was made so long ago. */
  async function age(folder: string, seconds: number): Promise<void> {
    const at = new Date(Date.now() - seconds * 1_000);
    await utimes(folder, at, at);
  }

  /** The folder of a tool that was killed with its whole group. */
  async function killed() {
    const { temp, run } = await setUp();
    expect((await run(KILLED)).failure?.signal).toBe("SIGKILL");
    const [name] = await readdir(temp);
    const folder = join(temp, name!);
    return { temp, run, folder };
  }

  test("removes the folder of a tool that was killed with all that would have removed it", async () => {
    const { temp, folder } = await killed();
    // It may be about to get its lock.
    await sweepRecipeFolders(temp);
    expect(await readdir(folder)).toContain("a");
    await age(folder, 60);
    await sweepRecipeFolders(temp);
    expect(await readdir(temp)).toEqual([]);
  });

  test("leaves the folder of a tool that runs, though its shell was killed", async () => {
    const { temp, run } = await setUp();
    const script =
      'trap "" TERM; echo $PPID >"$TMPDIR/shell"; sleep 600 & echo $! >"$TMPDIR/pid"; wait';
    const running = run(script);
    const pid = async (name: string): Promise<number> => {
      const [folder] = await readdir(temp);
      return Number(await readFile(join(temp, folder!, name), "utf8"));
    };
    await expect.poll(() => pid("pid").catch(() => 0)).toBeGreaterThan(1);
    const [shell, sleeper] = [await pid("shell"), await pid("pid")];
    const [name] = await readdir(temp);
    const folder = join(temp, name!);
    await age(folder, 100_000);
    await sweepRecipeFolders(temp);
    process.kill(shell, "SIGKILL");
    await sweepRecipeFolders(temp);
    expect(await readdir(folder)).toContain("pid");
    process.kill(sleeper, "SIGKILL");
    expect((await running).failure?.signal).toBe("SIGKILL");
    await age(folder, 60);
    // What is left of the group ends in its own time.
    await expect.poll(() => sweepRecipeFolders(temp).then(() => readdir(temp))).toEqual([]);
  });

  test("leaves what somebody has mounted in one, links, and what is another's by its name", async () => {
    const { temp, folder } = await killed();
    const kept = join(temp, "kept");
    await mkdir(kept);
    await writeFile(join(kept, "file"), "");
    await symlink(kept, join(temp, "msb-recipe-link"));
    await symlink(kept, join(folder, "link"));
    await age(folder, 60);
    const inside = `${await realpath(folder)}/a`.replaceAll(" ", "\\040");
    const readMounts = async (): Promise<string> =>
      `30 23 0:26 / / rw\n31 30 0:27 / ${inside} rw,relatime - tmpfs tmpfs rw\n`;
    await sweepRecipeFolders(temp, { readMounts });
    expect(await readdir(temp)).toHaveLength(3);
    await sweepRecipeFolders(temp);
    expect((await readdir(temp)).toSorted()).toEqual(["kept", "msb-recipe-link"]);
    expect(await readdir(kept)).toEqual(["file"]);
    await sweepRecipeFolders(join(temp, "nothing"));
  });

  test("enters the tool's namespace for what this user may not remove, and only then", async () => {
    const { temp, folder } = await killed();
    await age(folder, 60);
    const bin = await tempDir();
    // Refuses as long as there is what stands for somebody else's folder.
    const refusing = `[ ! -e "${folder}/a" ] || [ "$HELPED" = 1 ] || exit 1\nexec /bin/rm "$@"\n`;
    await writeFile(join(bin, "rm"), `#!/bin/sh\n${refusing}`, { mode: 0o755 });
    vi.stubEnv("PATH", `${bin}:${process.env["PATH"]}`);
    onTestFinished(() => void vi.unstubAllEnvs());
    await sweepRecipeFolders(temp);
    expect(await readdir(folder)).toContain("a");
    await age(folder, 60);
    await sweepRecipeFolders(temp, { unshareHelper: ["env", "HELPED=1"] });
    expect(await readdir(temp)).toEqual([]);
  });

  test("removes one that never got its lock after a day only", async () => {
    const { temp } = await setUp();
    const folder = join(temp, "msb-recipe-abcdef");
    await mkdir(folder);
    await age(folder, 3_600);
    await sweepRecipeFolders(temp);
    expect(await readdir(temp)).toHaveLength(1);
    await age(folder, 25 * 3_600);
    await sweepRecipeFolders(temp);
    expect(await readdir(temp)).toEqual([]);
  });
});
