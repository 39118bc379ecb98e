import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { type CliCommand, commandPath } from "../../../src/cli/command.js";
import { cli, testContext } from "../../helpers/cli.js";
import { buildProgram } from "../../../src/cli/program.js";
import { serverConfig } from "../../../src/config.js";

const commands = allOf(buildProgram(testContext().ctx)) as CliCommand[];
const leaves = commands.filter((command) => command.commands.length === 0);

function allOf(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allOf)];
}

describe("every command", () => {
  it.each(commands.map((command) => [commandPath(command), command] as const))(
    "%s shows help with -h, --help and help, and does nothing",
    async (path) => {
      const words = path.split(" ").slice(1);
      const [long, short, help] = await Promise.all([
        cli([...words, "--help"]),
        cli([...words, "-h"]),
        cli(["help", ...words]),
      ]);
      expect(long.stdout).toMatch(/^Usage: msb-ts/);
      expect([short.stdout, help.stdout]).toEqual([long.stdout, long.stdout]);
      expect([long, short, help].map(({ exitCode, stderr }) => [exitCode, stderr])).toEqual(
        Array.from({ length: 3 }, () => [0, ""]),
      );
      expect(long.images.calls).toEqual([]);
      const widest = Math.max(...long.stdout.split("\n").map((line) => line.length));
      expect(widest).toBeLessThanOrEqual(110);
    },
  );

  it.each(leaves.filter((command) => command.name() !== "help").map((command) => [command]))(
    "has examples that call it, --json and a description",
    (command) => {
      expect(command.examples.length).toBeGreaterThan(0);
      for (const { command: line } of command.examples)
        expect(line).toContain(commandPath(command));
      expect(command.options.some(({ long }) => long === "--json")).toBe(true);
      expect(command.description()).toMatch(/\.$/);
      expect(command.summary()).toMatch(/^[a-z].*[^.]$/);
    },
  );
});

describe("the help of the program", () => {
  it("has every variable that a server reads", async () => {
    const asked = new Set<string>();
    const env = new Proxy<Record<string, string>>(
      {},
      { get: (_env, name) => void asked.add(String(name)) },
    );
    serverConfig({}, env);
    const { stdout } = await cli(["--help"]);
    // These are for hosts that are tried out, not for everybody.
    const hidden = ["MSB_QEMU_ACCELERATOR", "MSB_SIGN_OF_LIFE_MS"];
    const shown = [...asked].filter((name) => !hidden.includes(name));
    expect(shown.length).toBeGreaterThan(15);
    for (const name of shown) expect(stdout).toMatch(new RegExp(`^  ${name} {2,}\\S`, "m"));
  });
});

describe("the version", () => {
  it("is that of the package", async () => {
    const json = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
    const { version } = JSON.parse(json) as { version: string };
    for (const option of ["--version", "-V"]) {
      expect(await cli([option])).toMatchObject({
        exitCode: 0,
        stdout: `${version}\n`,
        stderr: "",
      });
    }
  });
});
