/** Commands through the REST API of a server that really runs: output as it comes, input, and how commands end. */
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Agent, fetch, type Response } from "undici";
import type { CommandBody, CommandRecord } from "../../src/api/commands.js";
import type { StartRecord } from "../../src/api/sandboxes.js";
import { linesOf } from "../helpers/record-lines.js";
import { PYTHON_IMAGE } from "../helpers/server-images.js";
import { TestServer } from "../helpers/server-process.js";
import { testDrivers } from "../helpers/vm-fixture.js";
import { rowsOf, SMALL, textOf, WireSandbox } from "../helpers/wire.js";

const NDJSON = "application/x-ndjson";
const MIB = 1024 ** 2;
const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });

const ESSENTIAL = [
  "output comes while the command runs, in its order, as it is",
  "input arrives whole, and output of it comes back whole",
  "a timeout ends the command and all it started, after what it wrote",
  "a client that goes away ends its command and all it started",
];

interface Said {
  readonly records: readonly CommandRecord[];
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly end: Extract<CommandRecord, { type: "end" }>;
}

describe.each(testDrivers)("streamed commands under %s", (driver) => {
  let server: TestServer;
  let box: WireSandbox;
  beforeAll(async () => {
    server = await TestServer.start({ driver });
    box = new WireSandbox(server, "commands");
    await box.start({ ...SMALL, image: PYTHON_IMAGE, memory: 384 });
  });
  afterAll(async () => {
    await box?.stop();
    await server?.[Symbol.asyncDispose]();
  });

  const row = rowsOf(it, driver, ESSENTIAL);

  function post(path: string, body: object, signal?: AbortSignal): Promise<Response> {
    return fetch(`${server.url}/api/v1/sandboxes${path}`, {
      method: "POST",
      dispatcher,
      headers: { "content-type": "application/json", accept: NDJSON },
      body: JSON.stringify(body),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  async function* stream(body: CommandBody, signal?: AbortSignal): AsyncGenerator<CommandRecord> {
    const response = await post("/default/commands/commands", body, signal);
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
    for await (const line of linesOf(response)) yield JSON.parse(line) as CommandRecord;
  }

  /** Bytes of each stream and the end, of a command that has one. */
  async function run(body: CommandBody): Promise<Said> {
    const records: CommandRecord[] = [];
    for await (const record of stream({ encoding: "base64", ...body })) records.push(record);
    const end = records.at(-1);
    if (end?.type !== "end") throw new Error(`no end, but ${JSON.stringify(end)}`);
    return { records, stdout: bytesOf(records, "stdout"), stderr: bytesOf(records, "stderr"), end };
  }
  const sh = (script: string, rest: Partial<CommandBody> = {}): Promise<Said> =>
    run({ command: "sh", args: ["-c", script], ...rest });
  const processes = async (pattern: string): Promise<string> =>
    textOf(await box.sh(`ps -o args | grep -c '${pattern}' || true`));

  row(ESSENTIAL[0]!, async () => {
    const script = "mkfifo /tmp/go; echo begun; cat /tmp/go >&2; echo after; exit 3";
    const seen: CommandRecord[] = [];
    for await (const record of stream({ command: "sh", args: ["-c", script] })) {
      seen.push(record);
      // It waits for this.
      if (seen.length === 1) await box.sh("echo now > /tmp/go");
    }
    expect(seen).toEqual([
      { type: "stdout", text: "begun\n" },
      { type: "stderr", text: "now\n" },
      { type: "stdout", text: "after\n" },
      { type: "end", reason: "exited", exitCode: 3, signal: null, durationMs: expect.any(Number) },
    ]);
    const all = await run({
      command: "python3",
      args: ["-c", "import sys; sys.stdout.buffer.write(bytes(range(256)) * 400)"],
    });
    const every = Buffer.concat(Array.from({ length: 400 }, () => Buffer.from(range(256))));
    expect(all.stdout.equals(every)).toBe(true);
  });

  row("characters are whole, wherever the pieces end", async () => {
    const script = "printf 'a\\342\\202'; sleep 1; printf '\\254\\377'";
    const texts: string[] = [];
    for await (const record of stream({ command: "sh", args: ["-c", script] })) {
      if ("text" in record) texts.push(record.text);
    }
    expect(texts.join("")).toBe("a\u20ac\ufffd");
  });

  row(ESSENTIAL[1]!, async () => {
    const input = Buffer.from(range(3 * MIB).map((at) => (at * 31 + (at >> 8)) & 255));
    const back = await run({ command: "cat", stdin: input.toString("base64") });
    expect(back.end).toMatchObject({ reason: "exited", exitCode: 0 });
    expect(back.stdout.equals(input)).toBe(true);
    expect((await run({ command: "cat" })).stdout).toHaveLength(0);
    // What does not read it ends all the same.
    const short = await run({
      command: "head",
      args: ["-c", "3"],
      stdin: input.toString("base64"),
    });
    expect(short.stdout.equals(input.subarray(0, 3))).toBe(true);
    expect(short.end.reason).toBe("exited");
  });

  row(ESSENTIAL[2]!, async () => {
    const script = "trap '' TERM; sleep 1111 & setsid sleep 1111 & echo begun; sleep 1111";
    const { stdout, end } = await sh(script, { timeoutMs: 3_000 });
    expect(stdout.toString()).toBe("begun\n");
    expect(end).toMatchObject({ reason: "timeout", exitCode: null, signal: 9 });
    expect(end.durationMs).toBeGreaterThan(2_900);
    expect(await processes("[s]leep 1111")).toBe("0");
  });

  row(ESSENTIAL[3]!, async () => {
    for (const script of ["sleep 2222 & echo begun; wait", "sleep 2222 & yes"]) {
      const abort = new AbortController();
      const left = (async () => {
        for await (const _record of stream({ command: "sh", args: ["-c", script] }, abort.signal)) {
          abort.abort();
        }
      })();
      await expect(left).rejects.toThrow(/abort/i);
      await expect.poll(() => processes("[s]leep 2222"), { timeout: 30_000 }).toBe("0");
    }
    expect(await processes("[y]es$")).toBe("0");
  });

  row(
    "a command that is to go on without its client does, and its output stops nothing",
    async () => {
      const script = "echo begun; sleep 1; head -c 2000000 /dev/zero; echo done > /tmp/went-on";
      const abort = new AbortController();
      const body = { command: "sh", args: ["-c", script], killOnDisconnect: false };
      const left = (async () => {
        for await (const _record of stream(body, abort.signal)) abort.abort();
      })();
      await expect(left).rejects.toThrow(/abort/i);
      const wentOn = async (): Promise<string> =>
        textOf(await box.sh("cat /tmp/went-on 2>/dev/null || true"));
      await expect.poll(wentOn, { timeout: 60_000 }).toBe("done");
    },
  );

  row("it finds the sandbox's variables, folder and user, or what it asks for", async () => {
    const script = 'echo "$(id -un) $(pwd) $HOME $IMAGE_SAYS $MINE"';
    expect((await sh(script)).stdout.toString()).toBe("root /root /root hello \n");
    const asked = { user: "nobody", workdir: "/tmp", env: ["MINE=1", "IMAGE_SAYS=bye"] };
    expect((await sh(script, asked)).stdout.toString()).toBe("nobody /tmp /home/nobody bye 1\n");
  });

  row("what ended it is told", async () => {
    expect((await sh("kill -TERM $$")).end).toMatchObject({
      reason: "killed",
      exitCode: null,
      signal: 15,
    });
    const failed = await post("/default/commands/commands", { command: "no-such-program" });
    expect(await failed.text()).toMatch(/MSB_ERR_EXEC_FAILED.*no-such-program/s);
    const hungry = await run({
      command: "python3",
      args: ["-c", "a = []\nwhile True: a.append(b'x' * 2 ** 20)"],
    });
    expect(hungry.end.reason).toBe("outOfMemory");
    expect((await sh("echo in order")).stdout.toString()).toBe("in order\n");
  });

  row("a program that just fits into its memory, and gets no further, is ended", async () => {
    const code = `
import mmap
folder = "/sys/fs/cgroup/run/"
limit = int(open(folder + "memory.max").read())
def room():
    stat = dict(line.split() for line in open(folder + "memory.stat"))
    return limit - int(stat["anon"]) - int(stat["kernel"])
held = []
def fill(left):
    while room() > left: held.append(b"x" * 50_000)
fill(8_000_000)
print("full", flush=True)
fill(1_500_000)
with open("/usr/bin/python3", "rb") as file:
    program = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
while True: sum(program[::4096])`;
    const { stdout, end } = await run({ command: "python3", args: ["-c", code] });
    expect(stdout.toString()).toBe("full\n");
    expect(end.reason).toBe("outOfMemory");
    expect((await sh("echo in order")).stdout.toString()).toBe("in order\n");
  });

  row("100 MiB that are read slowly stop the command meanwhile, and not the server", async () => {
    const script =
      "for i in $(seq 100); do head -c 1048576 /dev/zero | tr '\\0' x; echo $i > /tmp/written; done";
    const before = rssBytes(server.pid);
    let most = 0;
    let received = 0;
    let pausedAt = "";
    for await (const record of stream({ command: "sh", args: ["-c", script] })) {
      if (!("text" in record)) continue;
      received += record.text.length;
      most = Math.max(most, rssBytes(server.pid));
      if (pausedAt !== "" || received < MIB) continue;
      pausedAt = await still(async () => textOf(await box.sh("cat /tmp/written")));
    }
    expect(received).toBe(100 * MIB);
    // What buffers of sockets hold is some megabytes.
    expect(Number(pausedAt)).toBeLessThan(50);
    expect(most - before).toBeLessThan(80 * MIB);
  });

  row("a start tells how far it is, and its sandbox at the end", async () => {
    const body = { name: "watched", image: PYTHON_IMAGE, memoryMiB: 256, diskMiB: 64 };
    const response = await post("", body);
    const records: StartRecord[] = [];
    for await (const line of linesOf(response)) records.push(JSON.parse(line) as StartRecord);
    expect(response.status).toBe(200);
    expect(records.at(-1)).toMatchObject({
      type: "done",
      sandbox: { namespace: "default", name: "watched", state: "running" },
    });
    await server.post("/api/v1/sandboxes/default/watched/stop", {});
  });

  row.check();
});

/** Waits until it says the same for a while. */
async function still(look: () => Promise<string>): Promise<string> {
  for (let last = await look(); ;) {
    await delay(2_000);
    const now = await look();
    if (now === last) return now;
    last = now;
  }
}

function bytesOf(records: readonly CommandRecord[], type: "stdout" | "stderr"): Buffer {
  return Buffer.concat(
    records.flatMap((record) =>
      record.type === type && "base64" in record ? [Buffer.from(record.base64, "base64")] : [],
    ),
  );
}

function range(length: number): number[] {
  return Array.from({ length }, (_, at) => at);
}

function rssBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024;
}
