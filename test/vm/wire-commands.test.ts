/** `sandbox.command.run` and what it shares with `sandbox.repl.run`, on sandboxes that really run. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PYTHON_IMAGE } from "../helpers/server-images.js";
import { TestServer } from "../helpers/server-process.js";
import { testDrivers } from "../helpers/vm-fixture.js";
import { err, out, rowsOf, SMALL, textOf, WireSandbox } from "../helpers/wire.js";

const ESSENTIAL = [
  "a program that cannot be started fails the call, one that fails does not",
  "a timeout ends the program and all it started, fails the call, and leaves the sandbox in order",
  "output of 20 MB arrives whole",
  "commands run beside each other and beside code",
];

describe.each(testDrivers)("commands over the wire under %s", (driver) => {
  let server: TestServer;
  let box: WireSandbox;
  beforeAll(async () => {
    server = await TestServer.start({ driver });
    box = new WireSandbox(server, "commands");
    await box.start({ ...SMALL, image: PYTHON_IMAGE, memory: 384 });
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  const row = rowsOf(it, driver, ESSENTIAL);
  const processes = async (pattern: string): Promise<string> =>
    textOf(await box.sh(`ps -o args | grep -c '${pattern}' || true`));

  row(ESSENTIAL[0]!, async () => {
    expect(await box.command("sh", ["-c", "echo no >&2; exit 3"])).toEqual({
      command: "sh",
      args: ["-c", "echo no >&2; exit 3"],
      exit_code: 3,
      success: false,
      output: err("no"),
    });
    await box.sh("echo text > /tmp/plain; mkdir -p /tmp/folder");
    for (const command of ["no-such-program", "ls -la", "/tmp/plain", "/tmp/folder"]) {
      const { status, body } = await box.tryCommand(command);
      expect([command, status, body]).toEqual([
        command,
        500,
        { error: expect.any(String), code: 5002 },
      ]);
      expect(body.error).toContain(command);
    }
    expect(await box.command("true")).toEqual({
      command: "true",
      args: [],
      exit_code: 0,
      success: true,
      output: [],
    });
  });

  row(ESSENTIAL[1]!, async () => {
    const script = "trap '' TERM; sleep 1111 & setsid sleep 1111 & echo begun; sleep 1111";
    const startedAt = Date.now();
    const { status, body } = await box.tryCommand("sh", ["-c", script], 2);
    expect(Date.now() - startedAt).toBeGreaterThan(1_900);
    expect([status, body.code]).toEqual([500, 5002]);
    expect(body.error).toMatch(/timeout|timed out/i);
    expect(body.error).toContain("2");
    expect(await processes("[s]leep 1111")).toBe("0");
    expect(await box.sh("echo in order")).toEqual(out("in order"));
  });

  row("a timeout of 0 fails at once, a wrong one is refused", async () => {
    const startedAt = Date.now();
    expect(await box.tryCommand("sleep", ["30"], 0)).toMatchObject({ status: 500 });
    expect(Date.now() - startedAt).toBeLessThan(15_000);
    for (const timeout of [-1, 1.5]) {
      expect((await box.tryCommand("true", [], timeout)).status).toBeGreaterThanOrEqual(400);
    }
    expect(await processes("[s]leep 30$")).toBe("0");
  });

  row(ESSENTIAL[2]!, async () => {
    const { output, exit_code } = await box.command("sh", [
      "-c",
      // 40 bytes a line.
      "yes 'abcdefghijklmnopqrstuvwxyz0123456789xyz' | head -n 500000; echo end >&2",
    ]);
    expect(exit_code).toBe(0);
    const lines = output.filter(({ stream }) => stream === "stdout");
    expect(lines).toHaveLength(500_000);
    expect(lines.every(({ text }) => text === "abcdefghijklmnopqrstuvwxyz0123456789xyz")).toBe(
      true,
    );
    expect(output.filter(({ stream }) => stream === "stderr")).toEqual(err("end"));
  });

  row("one line of 4 MB arrives whole", async () => {
    const { output } = await box.command("sh", [
      "-c",
      "head -c 4000000 /dev/zero | tr '\\0' x; echo; echo next",
    ]);
    expect(output).toHaveLength(2);
    expect(output[0]!.text).toHaveLength(4_000_000);
    expect(output[1]!.text).toBe("next");
  });

  row("lines are as the contract cuts them, in the order in which they came", async () => {
    expect(await box.sh(String.raw`printf 'a\r\n\n  b\rc\nlast'`)).toEqual(
      out("a", "", "  b\rc", "last"),
    );
    expect(await box.sh(String.raw`printf 'bad \377 byte\n\303\244\n'`)).toEqual(
      out("bad \ufffd byte", "\u00e4"),
    );
    const turns = "for i in 1 2 3; do echo out $i; sleep 0.3; echo err $i >&2; sleep 0.3; done";
    expect(await box.sh(turns)).toEqual(
      [1, 2, 3].flatMap((i) => [...out(`out ${i}`), ...err(`err ${i}`)]),
    );
    expect(await box.sh("true")).toEqual([]);
  });

  row(
    "there is no shell, no input and no terminal, and nothing stays for the next command",
    async () => {
      expect((await box.command("echo", ["*", "$HOME", "|", "a b"])).output).toEqual(
        out("* $HOME | a b"),
      );
      expect((await box.command("cat")).output).toEqual([]);
      expect(await box.sh("test -t 0 || test -t 1 || echo no terminal")).toEqual(
        out("no terminal"),
      );
      expect(await box.sh("cd /tmp; export LOST=1; pwd")).toEqual(out("/tmp"));
      expect(await box.sh('pwd; echo "lost:$LOST"; echo $IMAGE_SAYS')).toEqual(
        out("/root", "lost:", "hello"),
      );
      const args = ["", "ä", "a\nb", "'\"\\", "--"];
      expect(await box.command("printf", ["%s|%s|%s|%s|%s", ...args])).toMatchObject({
        args: ["%s|%s|%s|%s|%s", ...args],
        output: out(...args.join("|").split("\n")),
      });
    },
  );

  row("a program that a signal ends has exit code 1", async () => {
    for (const name of ["TERM", "KILL", "SEGV"]) {
      expect(await box.command("sh", ["-c", `kill -${name} $$; sleep 9`])).toMatchObject({
        exit_code: 1,
        success: false,
      });
    }
  });

  row("what is left in the background does not hold the answer up", async () => {
    const startedAt = Date.now();
    expect(await box.sh("sleep 60 & echo done")).toEqual(out("done"));
    expect(Date.now() - startedAt).toBeLessThan(20_000);
    await box.sh("killall sleep || true");
  });

  row("a program that a command leaves in the background goes on", async () => {
    const script =
      "(sleep 1; echo lived > /tmp/lived; sleep 3333) > /tmp/left.log 2>&1 & echo left";
    expect(await box.sh(script)).toEqual(out("left"));
    expect(await box.sh("until [ -s /tmp/lived ]; do sleep 0.1; done; cat /tmp/lived")).toEqual(
      out("lived"),
    );
    expect(await processes("[s]leep 3333")).toBe("1");
    await box.sh("killall sleep");
  });

  row(ESSENTIAL[3]!, async () => {
    const startedAt = Date.now();
    const code = box.run("import time; time.sleep(4); 'slept'");
    // Each waits for all others to have begun.
    const script =
      "touch /tmp/here-$0; until [ $(ls /tmp/here-* | wc -l) = 4 ]; do sleep 0.1; done; echo $0";
    const all = await Promise.all(
      ["1", "2", "3", "4"].map((n) => box.command("sh", ["-c", script, n], 60)),
    );
    expect(all.map(({ output }) => textOf(output))).toEqual(["1", "2", "3", "4"]);
    expect((await code).output).toEqual(out("'slept'"));
    expect(Date.now() - startedAt).toBeGreaterThan(3_900);
  });

  row("code waits for code, in the order in which it came", async () => {
    await box.run("import time; order = []");
    const runs = [3, 2, 1].map(async (n, index) => {
      await new Promise((done) => setTimeout(done, 150 * index));
      return box.run(`time.sleep(${n} / 4); order.append(${n})`);
    });
    await Promise.all(runs);
    expect((await box.run("order")).output).toEqual(out("[3, 2, 1]"));
  });

  row("commands and code share files and the folder they are in", async () => {
    await box.run("open('relative.txt', 'w').write('from code\\n')");
    expect((await box.command("cat", ["relative.txt"])).output).toEqual(out("from code"));
    await box.sh("echo from a command > other.txt");
    expect((await box.run("open('other.txt').read()")).output).toEqual(out("'from a command\\n'"));
  });

  row(
    "code that runs too long is interrupted, says so, and the next works with the same state",
    async () => {
      await box.run("kept = 'kept'");
      const { output, status } = await box.run("print('begun')\nwhile True: pass", { timeout: 2 });
      expect(status).toBe("error");
      expect(output[0]).toEqual(out("begun")[0]);
      expect(textOf(output, "stderr")).toContain("Error: Execution timed out after 2 seconds");
      expect((await box.run("kept")).output).toEqual(out("'kept'"));
    },
  );

  row(
    "a language is taken as it is written, and one that is not there fails the call",
    async () => {
      expect(await box.run("1", { language: "PyThOn" })).toMatchObject({
        language: "PyThOn",
        output: out("1"),
      });
      for (const language of ["node", "ruby", ""]) {
        const params = { ...box.key, language, code: "1" };
        expect(await server.rpc("sandbox.repl.run", params)).toMatchObject({
          status: 500,
          body: { error: expect.any(String), code: 5002 },
        });
      }
      for (const timeout of [-1, 1.5]) {
        const params = { ...box.key, language: "python", code: "1", timeout };
        expect((await server.rpc("sandbox.repl.run", params)).status).toBeGreaterThanOrEqual(400);
      }
    },
  );

  row("a request of 2 MB is taken, and a client that goes ends its command", async () => {
    const size = 1_990_000;
    const text = "x".repeat(size);
    expect((await box.run(`len('${text}')`)).output).toEqual(out(`${size}`));
    const leave = new AbortController();
    const params = { ...box.key, command: "sleep", args: ["2222"] };
    const left = server.rpc("sandbox.command.run", params, { signal: leave.signal });
    await expect.poll(() => processes("[s]leep 2222"), { timeout: 30_000 }).toBe("1");
    leave.abort();
    await expect(left).rejects.toThrow(/abort/i);
    await expect.poll(() => processes("[s]leep 2222"), { timeout: 30_000 }).toBe("0");
  });

  row.check();
  it("leaves no process behind", async () => {
    await box.stop();
    expect(await server.home.settled([server.pid])).toEqual([]);
  });
});
