import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { type CliCommand, commandPath } from "../../../src/cli/command.js";
import { cli, testContext } from "../../helpers/cli.js";
import { buildProgram } from "../../../src/cli/program.js";
import { runCli } from "../../../src/cli/run.js";
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

  it.each(commands.map((command) => [commandPath(command), command] as const))(
    "%s has examples",
    (_path, command) => expect(command.examples.length).toBeGreaterThan(0),
  );

  it.each(leaves.filter((command) => command.name() !== "help").map((command) => [command]))(
    "has examples that call it, --json and a description",
    (command) => {
      for (const { command: line } of command.examples)
        expect(line).toContain(commandPath(command));
      expect(command.options.some(({ long }) => long === "--json")).toBe(true);
      expect(command.description()).toMatch(/\.$/);
      expect(command.summary()).toMatch(/^[a-z].*[^.]$/);
    },
  );
});

describe("the help of the program", () => {
  it("is folded to the terminal", async () => {
    const { ctx, stdout } = testContext();
    stdout.columns = 60;
    expect(await runCli(["--help"], ctx)).toBe(0);
    const [, environment = ""] = stdout.text().split("Environment:\n");
    expect(environment).toContain(
      "\n  MSB_SERVER_URL   the server that sandbox commands talk to\n",
    );
    expect(environment.split("\n").filter((line) => line.length > 60)).toEqual([]);
  });

  it("names the variables that are not the server's alone, and where those are", async () => {
    const { stdout } = await cli(["--help"]);
    for (const name of ["MSB_HOME", "MSB_PULL_POLICY", "MSB_SERVER_URL", "MSB_API_KEY"])
      expect(stdout).toMatch(new RegExp(`^  ${name} {2,}\\S`, "m"));
    expect(stdout).toMatch(/: msb-ts server start --help\n$/);
  });
});

describe("the help of the server", () => {
  it("has every variable that it reads", async () => {
    const asked = new Set<string>();
    const env = new Proxy<Record<string, string>>(
      {},
      { get: (_env, name) => void asked.add(String(name)) },
    );
    serverConfig({}, env);
    const { stdout } = await cli(["server", "start", "--help"]);
    // These are for hosts that are tried out, not for everybody.
    const hidden = ["MSB_QEMU_ACCELERATOR", "MSB_SIGN_OF_LIFE_MS"];
    const shown = [...asked].filter((name) => !hidden.includes(name));
    expect(shown.length).toBeGreaterThan(15);
    for (const name of shown) expect(stdout).toContain(name);
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
