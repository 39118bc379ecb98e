import { describe, expect, it } from "vitest";
import { CliCommand } from "../../../src/cli/command.js";
import { PassThroughCommand } from "../../../src/cli/pass-through.js";

/** What a command with one operand of its own makes of its words. */
function parse(words: readonly string[]): unknown {
  let seen: unknown;
  const program = new CliCommand("program").enablePositionalOptions();
  program.addCommand(
    new PassThroughCommand("exec", 1)
      .argument("<name>")
      .argument("[argv...]")
      .option("-e, --env <pair>")
      .option("-i, --interactive")
      .option("-w, --workdir <dir>")
      .option("--json")
      .action((name: string, argv: string[], opts: object) => {
        seen = { name, argv, opts };
      }),
  );
  program.parse(["exec", ...words], { from: "user" });
  return seen;
}

describe("words of a command for somebody else", () => {
  it.each([
    ["ls -la --json", ["ls", "-la", "--json"], {}],
    ["-- ls -la", ["ls", "-la"], {}],
    ["-e A=1 ls -e B=2", ["ls", "-e", "B=2"], { env: "A=1" }],
    ["--env=A=1 ls -i", ["ls", "-i"], { env: "A=1" }],
    ["-iw /tmp ls -w", ["ls", "-w"], { interactive: true, workdir: "/tmp" }],
    ["-w/tmp -i ls", ["ls"], { interactive: true, workdir: "/tmp" }],
    ["-eA=iw ls -e", ["ls", "-e"], { env: "A=iw" }],
    ["-i -- sh -- -i", ["sh", "--", "-i"], { interactive: true }],
    ["-i - -i", ["-", "-i"], { interactive: true }],
    ["sh -c x -- y", ["sh", "-c", "x", "--", "y"], {}],
  ])("box %s", (words, argv, opts) => {
    expect(parse(["box", ...words.split(" ")])).toEqual({ name: "box", argv, opts });
  });

  it("are after options that come first", () => {
    expect(parse(["--json", "box", "ls", "-l"])).toEqual({
      name: "box",
      argv: ["ls", "-l"],
      opts: { json: true },
    });
  });
});
