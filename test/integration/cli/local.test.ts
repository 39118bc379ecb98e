/** The commands that need no server, as processes; microVMs of theirs run in test/vm/cli-run.test.ts. */
import { readdir } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { builtCli } from "../../helpers/built-cli.js";
import { runInTerminal, runProgram } from "../../helpers/run-program.js";
import { tempDir } from "../../helpers/temp-dir.js";

const CLI = [process.execPath, builtCli()];

describe("commands without a server", () => {
  it("run fails with 125 where no microVM can run, and fetches nothing", async () => {
    const home = await tempDir();
    const env = { MSB_HOME: home, MSB_QEMU_PATH: "/no/qemu", MSB_HYPERVISOR: "qemu" };
    const words = ["run", "--pull", "never", "no/image", "--", "true"];
    const end = await runProgram([...CLI, ...words], {
      env: { ...env, MSB_LIBKRUNFW_PATH: "/no/kernel" },
    });
    expect(end).toMatchObject({ exitCode: 125, stdout: "" });
    expect(end.stderr).toContain("MSB_ERR_KERNEL_INVALID");
    expect(await readdir(home)).not.toContain("tmp");
  });

  it("run leaves -V and --help to the command, and its own stay its own", async () => {
    const own = await runProgram([...CLI, "run", "--help"]);
    expect(own).toMatchObject({ exitCode: 0, stderr: "" });
    expect(own.stdout).toContain("Usage: msb-ts run [options] <image> [--] [command...]");
    const env = { MSB_HOME: await tempDir(), MSB_LIBKRUNFW_PATH: "/no/kernel" };
    for (const word of ["-V", "--help"]) {
      const theirs = await runProgram([...CLI, "run", "image", "tool", word], { env });
      expect([theirs.exitCode, theirs.stdout]).toEqual([125, ""]);
    }
  });

  it("doctor tells the same in a terminal and in a pipe", async () => {
    const env = { MSB_HOME: await tempDir() };
    const piped = await runProgram([...CLI, "doctor"], { env });
    const shown = await runInTerminal([...CLI, "doctor"], { env });
    expect(piped.stderr).toBe("");
    const titles = (text: string): string[] =>
      text.split(/\r?\n/).map((line) => line.slice(0, 27).trimEnd());
    expect(titles(shown.stdout)).toEqual(titles(piped.stdout));
    expect(shown.exitCode).toBe(piped.exitCode);
  });

  it("completion is read by bash as it comes", async () => {
    const line = 'source <("$0" "$1" completion bash); complete -p msb-ts';
    const end = await runProgram(["bash", "-c", line, ...CLI]);
    expect(end).toMatchObject({
      exitCode: 0,
      stdout: "complete -o default -F _msb_ts msb-ts\n",
      stderr: "",
    });
  });
});
