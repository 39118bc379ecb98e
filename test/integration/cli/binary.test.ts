import { readFileSync, statSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { builtCli } from "../../helpers/built-cli.js";
import { type ProgramOpts, runInTerminal, runProgram } from "../../helpers/run-program.js";

const msb = (args: readonly string[], opts?: ProgramOpts) =>
  runProgram([process.execPath, builtCli(), ...args], opts);

const IMAGE_COMMANDS = ["pull", "ls", "inspect", "rm", "prune", "load", "save", "tag", "build"];

describe("the program", () => {
  it("is executable as it was built, and tells its version", async () => {
    const { version } = JSON.parse(
      readFileSync(new URL("../../../package.json", import.meta.url), "utf8"),
    ) as { version: string };
    expect(statSync(builtCli()).mode & 0o111).toBe(0o111);
    const { exitCode, stdout, stderr } = await runProgram([builtCli(), "--version"]);
    expect({ exitCode, stdout, stderr }).toEqual({
      exitCode: 0,
      stdout: `${version}\n`,
      stderr: "",
    });
  });

  it.each([[], ["image"], ...IMAGE_COMMANDS.map((name) => ["image", name])])(
    "shows help: %s %s",
    async (...words) => {
      const { exitCode, stdout, stderr } = await msb([...words, "--help"]);
      expect(stdout).toMatch(/^Usage: msb-ts/);
      expect(stdout).toContain("Examples:");
      expect(stderr).toBe("");
      expect(exitCode).toBe(0);
    },
  );

  it("lists every image command in the help of the group", async () => {
    const { stdout } = await msb(["image", "--help"]);
    for (const name of IMAGE_COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
  });

  it("tells what is wrong with its words", async () => {
    const { exitCode, stdout, stderr } = await msb(["image", "pul", "x"]);
    expect(stderr).toBe(
      "msb-ts: Unknown command 'pul'. Did you mean pull? (MSB_ERR_INVALID_ARGUMENT)\n" +
        "Try: msb-ts image --help\n",
    );
    expect(stdout).toBe("");
    expect(exitCode).toBe(2);
  });

  it("refuses to read an archive from a terminal, and to write one there", async () => {
    const load = await runInTerminal([process.execPath, builtCli(), "image", "load"]);
    expect(load.stdout).toContain("Standard input is a terminal");
    expect(load.exitCode).toBe(2);
    const save = await runInTerminal([process.execPath, builtCli(), "image", "save", "x"]);
    expect(save.stdout).toContain("Standard output is a terminal");
    expect(save.exitCode).toBe(2);
  });
});
