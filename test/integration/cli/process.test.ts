import { describe, expect, it } from "vitest";
import { builtCliWithFakeImages } from "../../helpers/built-cli.js";
import {
  type ProgramOpts,
  runInTerminal,
  runProgram,
  type TerminalOpts,
} from "../../helpers/run-program.js";
import { controlsIn, screenOf } from "../../helpers/screen.js";

const argvOf = (args: readonly string[]) => [process.execPath, builtCliWithFakeImages(), ...args];

const run = (images: string, args: readonly string[], opts: ProgramOpts = {}) =>
  runProgram(argvOf(args), { ...opts, env: { FAKE_IMAGES: images, ...opts.env } });

const inTerminal = (images: string, args: readonly string[], opts: TerminalOpts = {}) =>
  runInTerminal(argvOf(args), { ...opts, env: { FAKE_IMAGES: images, ...opts.env } });

/** In a shell, where `$cli` is the program. */
const inShell = (images: string, script: string) =>
  runProgram(["bash", "-c", script], {
    env: { FAKE_IMAGES: images, cli: `${process.execPath} ${builtCliWithFakeImages()}` },
  });

describe("a pull", () => {
  const SUMMARY = "Pulled python:3.12 (aaaaaaaaaaaa): 0 layers, 8.39 MB";

  it("shows bars in a terminal, then a line for each task and the result", async () => {
    const { exitCode, stdout } = await inTerminal("pull", ["image", "pull", "python:3.12"]);
    expect(stdout).toMatch(/\[=*> +\] +\d+ % +[\d.]+ M?B of 4.19 MB/);
    expect(screenOf(stdout)).toEqual([
      "layer one           done, 4.19 MB",
      "layer two           done, 4.19 MB",
      SUMMARY,
    ]);
    expect(exitCode).toBe(0);
  });

  it("shows bars when only the result goes to a file", async () => {
    const [node, cli] = argvOf([]);
    const script = `${node} ${cli} image pull --json python:3.12 >/dev/null`;
    const { stdout } = await runInTerminal(["sh", "-c", script], { env: { FAKE_IMAGES: "pull" } });
    expect(stdout).toMatch(/\[=*> +\]/);
    expect(screenOf(stdout)).toEqual([
      "layer one           done, 4.19 MB",
      "layer two           done, 4.19 MB",
    ]);
  });

  it("works in a terminal of two rows", async () => {
    const { exitCode, stdout } = await inTerminal("pull", ["image", "pull", "python:3.12"], {
      rows: 2,
    });
    expect(screenOf(stdout).at(-1)).toBe(SUMMARY);
    expect(exitCode).toBe(0);
  });

  it.each([
    ["on a build server", { CI: "true" }],
    ["on a terminal that can do nothing", { TERM: "dumb" }],
  ])("shows plain lines %s", async (_where, env) => {
    const { stdout } = await inTerminal("pull", ["image", "pull", "python:3.12"], { env });
    expect(controlsIn(stdout).filter((character) => character !== "\r")).toEqual([]);
    expect(screenOf(stdout)).toEqual([
      "layer one: started, 4.19 MB",
      "layer two: started, 4.19 MB",
      "layer one: done, 4.19 MB",
      "layer two: done, 4.19 MB",
      SUMMARY,
    ]);
  });

  it("keeps the result apart from progress in pipes", async () => {
    const { exitCode, stdout, stderr } = await run("pull", ["image", "pull", "python:3.12"]);
    expect(stdout).toBe(`${SUMMARY}\n`);
    expect(stderr).toMatch(/^layer one: started/);
    expect(controlsIn(stderr)).toEqual([]);
    expect(exitCode).toBe(0);
  });
});

describe("a pull that is stopped", () => {
  const PULL = ["image", "pull", "python:3.12"];

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("by %s cleans up and exits with %i", async (signal, code) => {
    const { exitCode, stdout, stderr } = await run("slow", PULL, {
      signals: [["started", signal]],
    });
    expect(stderr).toBe(
      "layer one: started, 8.39 MB\nclean-up done\n" +
        `msb-ts: Stopped by ${signal}. (MSB_ERR_ABORTED)\n`,
    );
    expect(stdout).toBe("");
    expect(exitCode).toBe(code);
  });

  it("by Ctrl-C leaves a clean screen", async () => {
    const { exitCode, stdout } = await inTerminal("slow", PULL, { answers: [["0 %", "\u0003"]] });
    expect(screenOf(stdout.replaceAll("^C", ""))).toEqual([
      "clean-up done",
      "msb-ts: Stopped by SIGINT. (MSB_ERR_ABORTED)",
    ]);
    expect(exitCode).toBe(130);
  });

  it("a second time ends at once, with the code of the second signal", async () => {
    const { exitCode, stderr } = await run("stubborn", PULL, {
      signals: [
        ["started", "SIGINT"],
        ["clean-up begins", "SIGTERM"],
      ],
    });
    expect(stderr).toMatch(/clean-up begins\n$/);
    expect(exitCode).toBe(143);
  });

  it("and takes long to clean up says that a second Ctrl-C ends it", async () => {
    const { exitCode, stdout } = await inTerminal("stubborn", PULL, {
      answers: [
        ["0 %", "\u0003"],
        ["a second Ctrl-C ends at once", "\u0003"],
      ],
    });
    expect(stdout).toContain("Cleaning up; a second Ctrl-C ends at once.");
    expect(exitCode).toBe(130);
  });
});

describe("standard output", () => {
  it("that nobody reads on ends the command quietly", async () => {
    const { stdout, stderr } = await inShell(
      "many",
      '$cli image ls | head -n 1; echo "exit ${PIPESTATUS[0]}"',
    );
    expect(stdout).toMatch(/^REPOSITORY .*\nexit 141\n$/);
    expect(stderr).toBe("");
  });

  it("that nobody reads on ends an archive quietly", async () => {
    const { stdout, stderr } = await inShell(
      "endless",
      '$cli image save x | head -c 5; echo " exit ${PIPESTATUS[0]}"',
    );
    expect(stdout).toBe("xxxxx exit 141\n");
    expect(stderr).toBe("");
  });

  it("that is full is an error", async () => {
    const { stdout, stderr } = await inShell("many", '$cli image ls >/dev/full; echo "exit $?"');
    expect(stdout).toBe("exit 73\n");
    expect(stderr).toMatch(/^msb-ts: Standard output cannot be written: .*\(MSB_ERR_NO_SPACE\)\n$/);
  });

  it("is complete when a slow reader gets it", async () => {
    const { stdout } = await inShell("many", "$cli image ls -q | (sleep 0.3; wc -l)");
    expect(Number(stdout)).toBe(3_000);
  });

  it("carries an archive byte by byte", async () => {
    const { exitCode, stdout } = await run("", ["image", "save", "x"]);
    expect(stdout).toBe("x".repeat(2 * 1024 ** 2));
    expect(exitCode).toBe(0);
  });
});

describe("standard error", () => {
  it("that nobody reads does not end the work", async () => {
    const { stdout } = await inShell("pull", "$cli image pull -q python 2> >(exec 0<&-)");
    expect(stdout).toMatch(/^sha256:a{64}\n$/);
  });
});

describe("standard input", () => {
  it("is read as an archive", async () => {
    const input = Buffer.alloc(300_000);
    const { stdout } = await run("", ["image", "load"], { input });
    expect(stdout).toMatch(/^Loaded read-300000:bytes/);
  });

  it.each([
    ["y\n", "Freed: 1.05 MB"],
    ["n\n", "Nothing was removed."],
    ["\u0004", "Nothing was removed."],
  ])("at a terminal answers %j", async (keys, said) => {
    const { exitCode, stdout } = await inTerminal("", ["image", "prune", "--all"], {
      answers: [["[y/N] ", keys]],
    });
    expect(stdout).toContain(said);
    expect(exitCode).toBe(0);
  });

  it("at a terminal can be left with Ctrl-C", async () => {
    const { exitCode, stdout } = await inTerminal("", ["image", "prune", "--all"], {
      answers: [["[y/N] ", "\u0003"]],
    });
    expect(stdout).toContain("Stopped by SIGINT");
    expect(exitCode).toBe(130);
  });
});

describe("a warning of the images", () => {
  it("is told when the command has ended", async () => {
    const { exitCode, stdout, stderr } = await run("", ["image", "prune"]);
    expect(stdout).toBe("Freed: 1.05 MB\n");
    expect(stderr).toBe("msb-ts: warning: one image is broken�\n");
    expect(exitCode).toBe(0);
  });
});

describe("an error that nobody catches", () => {
  it("is a bug of ours with a code, and no stack", async () => {
    const { exitCode, stderr } = await run("throws", ["image", "ls"]);
    expect(stderr).toMatch(/^msb-ts: thrown where nobody catches\. .*\(MSB_ERR_INTERNAL\)\n$/);
    expect(exitCode).toBe(70);
  });

  it("has a sister: work that can never end", async () => {
    const { exitCode, stderr } = await run("rests", ["image", "ls"]);
    expect(stderr).toMatch(/^msb-ts: The command waits .*\(MSB_ERR_INTERNAL\)\n$/);
    expect(exitCode).toBe(70);
  });

  it("is JSON for programs, and has its stack with MSB_DEBUG=1", async () => {
    const { stderr } = await run("throws", ["image", "ls", "--json"], { env: { MSB_DEBUG: "1" } });
    expect(JSON.parse(stderr).error).toMatchObject({
      code: "MSB_ERR_INTERNAL",
      stack: expect.stringContaining("fake-cli.mjs"),
    });
  });
});
