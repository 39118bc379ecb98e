/** Sandbox commands: the real program with a real server, in pipes and in a terminal. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { builtCli } from "../helpers/built-cli.js";
import { type ProgramOpts, runInTerminal, runProgram } from "../helpers/run-program.js";
import { screenOf } from "../helpers/screen.js";
import { BUSYBOX_IMAGE, PYTHON_IMAGE } from "../helpers/server-images.js";
import { TestServer } from "../helpers/server-process.js";
import { tempDir } from "../helpers/temp-dir.js";
import { testDrivers } from "../helpers/vm-fixture.js";

const CLI = [process.execPath, builtCli()];
const HEAD = "NAME   IMAGE   STATE   UP   MEMORY   CPUS   DRIVER\n";
const [ENTER, CTRL_C, CTRL_D] = ["\r", "\u0003", "\u0004"];
/** Holds an interpreter after it has said so; typed, it does not look like what it says. */
const LOOP = "import time; print('loop' + 'ing')\nwhile True: time.sleep(0.1)";

/** Prints the types of events, and the exit code of the one who follows them. */
const REMOVE_WHILE_FOLLOWED = `
"$@" logs -f team/box --source events | while read -r _ type _; do
  echo "$type"
  if [ "$type" = starting ]; then again=yes; fi
  if [ "$type $again" = "running yes" ]; then "$@" rm -f team/box >&2; fi
done
echo "\${PIPESTATUS[0]}"`;

describe.each(testDrivers)("sandbox commands under %s", (driver) => {
  let server: TestServer;
  let env: Record<string, string>;

  const msb = (args: readonly string[], opts: ProgramOpts = {}) =>
    runProgram([...CLI, ...args], { ...opts, env: { ...env, ...opts.env } });
  const inTerminal = (
    args: readonly string[],
    answers: readonly (readonly [text: string, keys: string])[],
  ) => runInTerminal([...CLI, ...args], { env, answers });
  /** What a command prints that must succeed. */
  async function said(...args: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await msb(args);
    expect([exitCode, stderr]).toEqual([0, ""]);
    return stdout;
  }
  const json = async (...args: string[]) => JSON.parse(await said(...args, "--json")) as unknown;

  beforeAll(async () => {
    server = await TestServer.start({ driver, auth: "keys" });
    env = { MSB_HOME: server.home.path, MSB_SERVER_URL: "", MSB_API_KEY: "" };
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  // The sandbox that all others use.
  it("make one where there was none, and list it", async () => {
    expect(await said("ps")).toBe(HEAD);
    expect(await json("ps")).toEqual([]);
    const options = ["--name", "lab", "-m", "384m", "--label", "job=42", "-e", "A=b"];
    expect(await said("create", PYTHON_IMAGE, ...options)).toBe("lab\n");
    expect(await said("ps")).toMatch(
      new RegExp(`^NAME .*\nlab +${PYTHON_IMAGE} +running +\\d.* 384 MiB +1 +${driver}\n$`),
    );
    expect(await said("ps", "-q", "--filter", "label=job=42")).toBe("lab\n");
  });

  it("pass a command's output and exit code on", async () => {
    const script = "echo out $A; echo err >&2; exit 7";
    expect(await msb(["exec", "lab", "sh", "-c", script])).toEqual({
      exitCode: 7,
      signal: null,
      stdout: "out b\n",
      stderr: "err\n",
    });
    const document = await msb(["exec", "--json", "lab", "sh", "-c", script]);
    expect(document).toMatchObject({ exitCode: 7, stderr: "" });
    expect(JSON.parse(document.stdout)).toMatchObject({
      reason: "exited",
      exitCode: 7,
      stdout: "out b\n",
      stderr: "err\n",
    });
    for (const [words, exitCode] of [
      [["lab", "sh", "-c", "kill -9 $$"], 137],
      [["lab", "no-such-program"], 127],
      [["--timeout", "1s", "lab", "sleep", "1000"], 124],
    ] as const) {
      expect(await msb(["exec", ...words])).toMatchObject({ exitCode, stdout: "" });
    }
  });

  it("give a command its input, and end it when nobody reads its output", async () => {
    const input = "é\n".repeat(200_000);
    expect((await msb(["exec", "-i", "lab", "--", "cat"], { input })).stdout).toBe(input);
    expect((await msb(["exec", "lab", "--", "wc", "-c"], { input })).stdout).toBe("0\n");
    const script = `"$@" exec lab yes | head -n 1; echo "\${PIPESTATUS[0]}"`;
    expect(await runProgram(["bash", "-c", script, "-", ...CLI], { env })).toMatchObject({
      stdout: "y\n141\n",
      stderr: "",
    });
    await expect
      .poll(async () => (await msb(["exec", "lab", "sh", "-c", "ps | grep -c '[y]es'"])).stdout)
      .toBe("0\n");
  });

  it("run code from a file, a pipe and the command line in one interpreter", async () => {
    const file = join(await tempDir(), "first.py");
    await writeFile(file, "kept = 20\nprint('from a file')\n");
    expect(await said("code", "lab", file)).toBe("from a file\n");
    const piped = await msb(["code", "lab", "-"], { input: "kept += 1\nkept" });
    expect(piped).toMatchObject({ exitCode: 0, stdout: "21\n", stderr: "" });
    expect(await json("code", "lab", "-c", "kept * 2")).toMatchObject({
      status: "success",
      results: [{ text: "42" }],
    });
    const failed = await msb(["code", "lab", "-c", "print(1)\n1/0"]);
    expect(failed).toMatchObject({ exitCode: 1, stdout: "1\n" });
    expect(failed.stderr).toMatch(/\nZeroDivisionError: division by zero\n$/);
  });

  it("show what is used, as one table where nobody watches", async () => {
    const used = { name: "lab", memoryMiB: expect.any(Number), running: true };
    expect(await json("metrics", "lab")).toMatchObject([used]);
    expect(await json("top")).toMatchObject([used]);
    expect(await said("top")).toMatch(/^NAME +CPU .*\nlab +\d.* MB .*\n$/);
  });

  it("go from a sandbox's start to its end, which ends who follows its log", async () => {
    await said("create", BUSYBOX_IMAGE, "--name", "team/box", "-m", "128m", "--disk", "64m");
    await said("exec", "team/box", "touch", "kept");
    expect(await said("stop", "team/box")).toBe("team/box\n");
    expect(await said("ps", "-aq")).toBe("lab\nteam/box\n");
    expect(await msb(["exec", "team/box", "ls"])).toMatchObject({
      exitCode: 125,
      stderr: expect.stringContaining("MSB_ERR_INVALID_STATE"),
    });
    expect(await said("start", "team/box")).toBe("team/box\n");
    expect(await said("exec", "team/box", "ls")).toBe("kept\n");

    const refused = await msb(["rm", "team/box"]);
    expect(refused).toMatchObject({ exitCode: 75, stdout: "" });
    const followed = await runProgram(["bash", "-c", REMOVE_WHILE_FOLLOWED, "-", ...CLI], { env });
    expect(followed.stderr).toBe("team/box\n");
    const run = ["booting", "running", "stopping", "stopped"];
    expect(followed.stdout.split("\n")).toEqual(["created", ...run, "starting", ...run, "0", ""]);
  });

  it("say that a name is not there", async () => {
    for (const [words, code] of [
      [["start", "nobody"], 66],
      [["logs", "-f", "nobody"], 66],
      [["code", "nobody", "-c", "1"], 66],
      [["exec", "nobody", "ls"], 125],
    ] as const) {
      const { exitCode, stdout, stderr } = await msb(words);
      expect([exitCode, stdout]).toEqual([code, ""]);
      expect(stderr).toMatch(/^msb-ts: There is no sandbox default\/nobody\b.*_NOT_FOUND\)\n$/);
    }
  });

  it("leave nothing of a sandbox that could not be made", async () => {
    const { exitCode, stderr } = await msb(["create", "../x", "--name", "typo"]);
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining("MSB_ERR_INVALID_REFERENCE")]);
    expect(await said("ps", "-aq")).toBe("lab\n");
  });

  it("refuse a wrong key, and the key of another namespace", async () => {
    for (const [words, exitCode] of [
      [["create", BUSYBOX_IMAGE], 77],
      [["exec", "lab", "ls"], 125],
    ] as const) {
      const wrong = await msb(words, { env: { MSB_API_KEY: "msb_wrong" } });
      expect(wrong).toMatchObject({ exitCode, stdout: "" });
      expect(wrong.stderr).toMatch(/\(MSB_ERR_UNAUTHENTICATED\)\nTry: MSB_API_KEY=KEY .*\n$/);
    }
    const made = await json("server", "keygen", "--namespace", "other");
    const other = { env: { MSB_API_KEY: (made as { token: string }).token } };
    expect(await msb(["ps"], other)).toMatchObject({ exitCode: 0, stdout: HEAD });
    const { exitCode, stderr } = await msb(["code", "lab", "-c", "1"], other);
    expect([exitCode, stderr]).toEqual([77, expect.stringContaining("MSB_ERR_ACCESS_DENIED")]);
  });

  describe("in a terminal", () => {
    it("run what is typed, entry by entry, until Ctrl-D", async () => {
      const { exitCode, stdout } = await inTerminal(
        ["code", "lab"],
        [
          [">>> ", `def twice(n):${ENTER}`],
          ["... ", `    return n * 2${ENTER}`],
          ["... ", ENTER],
          [">>> ", `typed = twice(21)${ENTER}`],
          [">>> ", `typed${ENTER}`],
          ["\n42", `1/0${ENTER}`],
          ["division by zero", `for n in range(2):${ENTER}  print(n)${ENTER}${ENTER}`],
          ["\n1", `exec("""${LOOP.replace("\n", "\\n")}""")${ENTER}`],
          ["looping", CTRL_C],
          ["was interrupted", `typed + 1${ENTER}`],
          ["\n43", `not wanted${CTRL_C}`],
          ["^C", CTRL_C],
          ["^C", CTRL_D],
        ],
      );
      expect(exitCode).toBe(0);
      const lines = screenOf(stdout);
      expect(lines[0]).toBe("Python in lab. Ctrl-D leaves, .help tells more.");
      expect(lines).toContain("ZeroDivisionError: division by zero");
      expect(lines.some((line) => line.startsWith("looping"))).toBe(true);
      expect(lines).toContain("msb-ts: The code was interrupted.");
      expect(lines.slice(-5)).toEqual([">>> typed + 1", "43", ">>> ^C", ">>> ^C", ">>>"]);
    });

    it("end what runs at Ctrl-C, and the sandbox goes on", async () => {
      const script = "echo be''gun; sleep 4321";
      const exec = await inTerminal(["exec", "lab", "sh", "-c", script], [["begun", CTRL_C]]);
      expect(exec).toMatchObject({ exitCode: 130, stdout: expect.stringContaining("SIGINT") });
      const code = await inTerminal(["code", "lab", "-c", LOOP], [["looping", CTRL_C]]);
      expect(code).toMatchObject({ exitCode: 130, stdout: expect.stringContaining("SIGINT") });
      const logs = await inTerminal(["logs", "-f", "lab"], [["agent: started", CTRL_C]]);
      expect(logs).toMatchObject({ exitCode: 130 });
      expect(logs.stdout).not.toContain("MSB_ERR");
      expect(await said("code", "lab", "-c", "kept")).toBe("21\n");
      const search = ["exec", "lab", "sh", "-c", "ps -o args | grep -c '[s]leep 4321'"];
      await expect.poll(async () => (await msb(search)).stdout).toBe("0\n");
    });

    it("draw what is used again and again until a key leaves", async () => {
      // oxlint-disable-next-line no-control-regex -- what terminals obey begins with one
      const screen = /\u001b\[\?1049h\u001b\[\?25l(.*)\u001b\[\?25h\u001b\[\?1049l$/s;
      for (const [answers, draws] of [
        [[["lab", CTRL_C]], 1],
        [
          [
            ["lab", "x"],
            ["lab", "q"],
          ],
          2,
        ],
      ] as const) {
        const { exitCode, stdout } = await inTerminal(["top"], answers);
        const [, drawn = ""] = screen.exec(stdout) ?? [];
        expect([exitCode, drawn.split("\u001b[H").length - 1]).toEqual([0, draws]);
        expect(drawn).toMatch(/1 sandbox .* q leaves/);
      }
    });
  });
});
