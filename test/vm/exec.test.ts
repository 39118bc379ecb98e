import { createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ExecOpts } from "../../src/agent/agent-client.js";
import type { CollectedOutput } from "../../src/agent/exec-session.js";
import { Channel } from "../../src/agent/frame.js";
import type { MsbError } from "../../src/errors.js";
import type { Guest } from "../../src/sandbox/guest.js";
import { testDrivers, VmFixture } from "../helpers/vm-fixture.js";

describe.each(testDrivers)("commands in a guest under %s", (driver) => {
  let fixture: VmFixture;
  let guest: Guest;

  beforeAll(async () => {
    fixture = await VmFixture.open(driver);
    guest = await fixture.boot({ memoryMiB: 384 });
  });
  afterAll(() => fixture?.dispose());

  async function run(argv: string[], opts: ExecOpts = {}): Promise<CollectedOutput> {
    const session = await guest.agent.exec(argv, opts);
    return session.collect();
  }
  const sh = (script: string, opts: ExecOpts = {}): Promise<CollectedOutput> =>
    run(["sh", "-c", script], opts);

  it.each([0, 1, 7, 127, 255])("reports exit code %i", async (code) => {
    const { exit } = await sh(`exit ${code}`);
    expect(exit).toEqual({ exitCode: code, signal: null, timedOut: false, oomKilled: false });
  });

  it.each([
    ["TERM", 15],
    ["KILL", 9],
    ["SEGV", 11],
  ])("reports death by SIG%s", async (name, number) => {
    const { exit } = await sh(`kill -${name} $$`);
    expect(exit).toMatchObject({ exitCode: null, signal: number });
  });

  it("says ENOENT for a program that is not there and EACCES for one that is not executable", async () => {
    await expect(guest.agent.exec(["no-such-program"])).rejects.toMatchObject({
      code: "MSB_ERR_EXEC_FAILED",
      details: { operation: "execve", errno: 2 },
    });
    await expect(guest.agent.exec(["/etc/passwd"])).rejects.toMatchObject({
      code: "MSB_ERR_EXEC_FAILED",
      details: { operation: "execve", errno: 13 },
    });
  });

  it("says which of cwd and user was wrong", async () => {
    await expect(guest.agent.exec(["true"], { cwd: "/no/such/folder" })).rejects.toMatchObject({
      details: { operation: "chdir", errno: 2 },
    });
    await expect(guest.agent.exec(["true"], { user: "nobody-of-that-name" })).rejects.toMatchObject(
      { details: { operation: "user" } },
    );
  });

  it("gives a program its environment, folder, user and nothing else", async () => {
    const { stdout } = await sh('echo "$PWD $(id -u):$(id -g) $A"; env | sort | tr "\\n" " "', {
      env: ["A=ä b", "PATH=/bin"],
      cwd: "/home/app",
      user: "app",
    });
    expect(stdout.toString()).toMatch(
      /^\/home\/app 1000:1000 ä b\nA=ä b (OLDPWD=.* )?PATH=\/bin PWD=\/home\/app (SHLVL=\d )?$/,
    );
  });

  it("passes arguments that are not UTF-8 through unchanged", async () => {
    const { stdout } = await run(["printf", "%s", "\udcff\udc80x"]);
    expect(stdout).toEqual(Buffer.from([0xff, 0x80, 0x78]));
  });

  it("sets resource limits", async () => {
    const { stdout } = await sh("ulimit -n", {
      rlimits: [{ resource: "nofile", soft: 77, hard: 99 }],
    });
    expect(stdout.toString()).toBe("77\n");
  });

  it("keeps the order of stdout and stderr", async () => {
    const { chunks } = await sh(
      "for i in 1 2 3; do echo out$i; usleep 20000; echo err$i >&2; usleep 20000; done",
    );
    const seen = chunks.map(
      (c) => `${c.channel === Channel.stdout ? "o" : "e"}:${c.data.toString().trim()}`,
    );
    expect(seen).toEqual(["o:out1", "e:err1", "o:out2", "e:err2", "o:out3", "e:err3"]);
  });

  it("brings 10 MB intact over both streams at once", async () => {
    const half = 5_000_000;
    const script = `(yes 0123456789abcdef | head -c ${half} >&2) & yes fedcba9876543210 | head -c ${half}; wait`;
    const { stdout, stderr, exit } = await sh(script);
    const expected = (line: string): string =>
      createHash("sha256")
        .update(Buffer.alloc(half, `${line}\n`))
        .digest("hex");
    const digest = (data: Buffer): string => createHash("sha256").update(data).digest("hex");
    expect(exit.exitCode).toBe(0);
    expect([stdout.length, stderr.length]).toEqual([half, half]);
    expect(digest(stdout)).toBe(expected("fedcba9876543210"));
    expect(digest(stderr)).toBe(expected("0123456789abcdef"));
  });

  it("is binary-safe from stdin to stdout, beyond the window", async () => {
    const sent = randomBytes(1_500_000);
    const session = await guest.agent.exec(["cat"], { stdin: true });
    const feeding = session.write(sent).then(() => session.endStdin());
    const { stdout, exit } = await session.collect();
    await feeding;
    expect(exit.exitCode).toBe(0);
    expect(stdout.equals(sent)).toBe(true);
  });

  it("does not hang when a program never reads its stdin", async () => {
    const session = await guest.agent.exec(["sleep", "0.2"], { stdin: true });
    const feeding = session.write(Buffer.alloc(1_000_000)).catch((error: MsbError) => error.code);
    const { exit } = await session.collect();
    expect(exit.exitCode).toBe(0);
    // Written or refused: what matters is that nobody waits for a reader that is gone.
    expect([undefined, "MSB_ERR_EXEC_NOT_FOUND"]).toContain(await feeding);
  });

  it("gives a terminal with its size, takes a new size and end of file", async () => {
    const script =
      'tty; stty size; trap "stty size; exit 3" WINCH; echo ready; while read -r x; do echo "got $x"; done; sleep 5 & wait';
    const session = await guest.agent.exec(["sh", "-c", script], {
      stdin: true,
      pty: { cols: 80, rows: 24 },
    });
    let seen = "";
    let step = 0;
    for await (const chunk of session.output) {
      seen += chunk.data.toString();
      if (step === 0 && seen.includes("ready")) {
        step = 1;
        await session.write(Buffer.from("hello\n"));
      } else if (step === 1 && seen.includes("got hello")) {
        step = 2;
        session.endStdin();
        await session.resize({ cols: 132, rows: 50 });
      }
    }
    const exit = await session.exited;
    await session.close();
    expect(seen).toMatch(/^\/dev\/pts\/\d+\r\n24 80\r\nready\r\n/);
    expect(seen).toContain("50 132");
    expect(exit.exitCode).toBe(3);
  });

  it("kills the whole tree at the timeout, however far it forked", async () => {
    const marker = "31.4159";
    const session = await guest.agent.exec(
      [
        "sh",
        "-c",
        `setsid sh -c 'setsid sleep ${marker} & sleep ${marker}' & trap '' TERM; echo up; sleep ${marker}`,
      ],
      { timeoutMs: 1_000 },
    );
    const { exit, stdout } = await session.collect();
    expect(exit).toMatchObject({ signal: 9, timedOut: true });
    expect(stdout.toString()).toBe("up\n");
    const { stdout: left } = await sh(`ps -o args | grep -c '[s]leep ${marker}'`);
    expect(left.toString()).toBe("0\n");
  });

  it("ends when the first process ends though a daemon holds its output", async () => {
    const before = performance.now();
    const { exit, stdout } = await sh("sleep 30 & echo started");
    expect(exit.exitCode).toBe(0);
    expect(stdout.toString()).toBe("started\n");
    expect(performance.now() - before).toBeLessThan(20_000);
    await sh("killall sleep");
  });

  it("leaves alone what a command left in the background, though nobody reads what that writes", async () => {
    const { stdout } = await sh(
      "(i=0; while [ $i -lt 3000 ]; do echo ballast-ballast-ballast-ballast; i=$((i+1)); done;" +
        " echo alive > /tmp/background; sleep 300) & echo pid $!",
    );
    const [, pid] = /^pid (\d+)$/m.exec(stdout.toString())!;
    // More than a pipe holds has been written by then.
    const waited = await sh(
      "until [ -s /tmp/background ]; do sleep 0.1; done; cat /tmp/background",
    );
    expect(waited.stdout.toString()).toBe("alive\n");
    expect((await sh(`kill -0 ${pid}`)).exit.exitCode).toBe(0);
    await sh(`kill -9 ${pid}; killall sleep`);
  });

  it("signals one process or its tree", async () => {
    const one = await guest.agent.exec([
      "sh",
      "-c",
      "trap 'echo caught; exit 4' USR1; echo up; while :; do sleep 0.1; done",
    ]);
    const iterator = one.output[Symbol.asyncIterator]();
    expect((await iterator.next()).value?.data.toString()).toBe("up\n");
    await one.signal(10);
    expect((await iterator.next()).value?.data.toString()).toBe("caught\n");
    expect(await one.exited).toMatchObject({ exitCode: 4 });
    await one.close();
  });

  it("runs 20 commands at once", async () => {
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        sh(`sleep 0.3; head -c 50000 /dev/zero | tr '\\0' x; exit ${i}`),
      ),
    );
    expect(results.map((result) => result.exit.exitCode)).toEqual(
      Array.from({ length: 20 }, (_, i) => i),
    );
    expect(results.every((result) => result.stdout.length === 50_000)).toBe(true);
  });

  it("stops a program whose output is over the limit and goes on", async () => {
    const session = await guest.agent.exec(["yes"]);
    await expect(session.collect({ maxBytes: 1_000_000 })).rejects.toMatchObject({
      code: "MSB_ERR_OUTPUT_LIMIT",
    });
    expect((await sh("echo fine")).stdout.toString()).toBe("fine\n");
  });

  it("ends a program when its caller aborts", async () => {
    const abort = new AbortController();
    const session = await guest.agent.exec(["sleep", "27.1828"]);
    setTimeout(() => abort.abort(), 100);
    await expect(session.collect({ signal: abort.signal })).rejects.toMatchObject({
      code: "MSB_ERR_ABORTED",
    });
    expect((await sh("ps -o args | grep -c '[s]leep 27.1828'")).stdout.toString()).toBe("0\n");
  });

  it("reaps orphans", async () => {
    await sh("for i in 1 2 3 4 5; do (sleep 0.1 &) ; done; sleep 0.5");
    expect((await sh("ps -o stat | grep -c '^Z'")).stdout.toString()).toBe("0\n");
  });

  it("keeps a running command and all of its output over a reconnect", async () => {
    const session = await guest.agent.exec([
      "sh",
      "-c",
      "for i in $(seq 1 400); do echo line $i; usleep 5000; done",
    ]);
    const lines: string[] = [];
    let isCut = false;
    let text = "";
    for await (const chunk of session.output) {
      text += chunk.data.toString();
      lines.push(...text.split("\n").slice(0, -1));
      text = text.slice(text.lastIndexOf("\n") + 1);
      if (!isCut && lines.length > 20) {
        isCut = true;
        guest.agent.disconnect();
        await guest.agent.reconnect();
      }
    }
    expect(isCut).toBe(true);
    expect(lines).toEqual(Array.from({ length: 400 }, (_, i) => `line ${i + 1}`));
    expect((await session.exited).exitCode).toBe(0);
    await session.close();
  });
});
