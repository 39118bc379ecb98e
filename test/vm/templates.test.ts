/** Sandboxes that go on from a template, on QEMU, which alone has them: each is one of its own. */
import { copyFile, cp, readdir, realpath, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { msbPaths } from "../../src/paths.js";
import { builtCli } from "../helpers/built-cli.js";
import { runProgram } from "../helpers/run-program.js";
import { NODE_IMAGE, PYTHON_IMAGE } from "../helpers/server-images.js";
import { ServerHome } from "../helpers/server-home.js";
import { TestServer } from "../helpers/server-process.js";
import { out, SMALL, textOf, WireSandbox } from "../helpers/wire.js";

const CLONES = 20;
const READY = /A template is ready/g;
const MADE = { timeout: 120_000 };
const WARM = ["image", "warm", PYTHON_IMAGE, "-m", "384m"];

const PYTHON_FACTS = `
import json, os, random, socket, tempfile, time, uuid
boot_id = open("/proc/sys/kernel/random/boot_id").read().strip()
print(json.dumps({"own": [os.urandom(8).hex(), random.random(), str(uuid.uuid4()), tempfile.mktemp(), boot_id],
  "host": socket.gethostname(), "time": time.time()}))`;

const NODE_FACTS = `
const boot_id = require("fs").readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
console.log(JSON.stringify({ own: [require("crypto").randomBytes(8).toString("hex"), Math.random(),
  require("crypto").randomUUID(), require("crypto").randomInt(2 ** 40), boot_id],
  host: require("os").hostname(), time: Date.now() / 1000 }))`;

interface Facts {
  readonly own: readonly (string | number)[];
  readonly host: string;
  readonly time: number;
}

/** In place of the one that all homes of tests share. */
async function ownRuntime(home: ServerHome): Promise<void> {
  const { runtimeRoot } = msbPaths(home.path);
  const shared = await realpath(runtimeRoot);
  await rm(runtimeRoot);
  await cp(shared, runtimeRoot, { recursive: true });
}

/** By another file, as an upgrade does; it is the same kernel. */
async function replaceKernel(home: ServerHome): Promise<void> {
  const { runtimeRoot } = msbPaths(home.path);
  const files = await readdir(runtimeRoot, { recursive: true });
  const kernel = join(
    runtimeRoot,
    files.find((file) => file.endsWith("/kernel.elf"))!,
  );
  await copyFile(kernel, `${kernel}.new`);
  await rename(`${kernel}.new`, kernel);
}

describe("on QEMU", () => {
  let home: ServerHome;
  let server: TestServer;
  const env = { MSB_MAX_TEMPLATES: "2", MSB_VCPU_BUDGET: "64" };
  beforeAll(async () => {
    home = await ServerHome.make();
    await ownRuntime(home);
    server = await TestServer.start({ driver: "qemu", home, env });
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await home?.[Symbol.asyncDispose]();
  });

  const box = (name: string): WireSandbox => new WireSandbox(server, name);
  const templates = (): number => server.fullLog().match(READY)?.length ?? 0;

  async function factsOf(sandbox: WireSandbox, language: string, code: string): Promise<Facts> {
    const { output, status } = await sandbox.run(code, { language });
    expect({ status, output }).toMatchObject({ status: "success" });
    const facts = JSON.parse(textOf(output)) as Facts;
    return { ...facts, time: facts.time - Date.now() / 1000 };
  }

  const config = { ...SMALL, image: PYTHON_IMAGE, memory: 512 };

  it("makes one after the first start of its kind", async () => {
    await box("first").start(config);
    expect((await box("first").run("print(1)")).output).toEqual(out("1"));
    await expect.poll(templates, MADE).toBe(1);
  });

  it(`${CLONES} are different, at the right time, and have their own names`, async () => {
    const names = Array.from({ length: CLONES }, (_, index) => `clone-${index}`);
    const seen: Facts[] = [];
    for (let index = 0; index < CLONES; index += 2) {
      const pair = names.slice(index, index + 2).map(async (name) => {
        await box(name).start(config);
        return factsOf(box(name), "python", PYTHON_FACTS);
      });
      seen.push(...(await Promise.all(pair)));
    }
    const own = seen.flatMap((facts) => facts.own);
    expect(new Set(own).size).toBe(own.length);
    expect(seen.map(({ host }) => host)).toEqual(names);
    for (const { time } of seen) expect(Math.abs(time)).toBeLessThan(10);
    await Promise.all(names.slice(2).map((name) => box(name).stop()));
  });

  it("they share no files, names or errors", async () => {
    const [one, other] = [box("clone-0"), box("clone-1")];
    expect((await one.run("x = 1\nopen('/root/own', 'w').write('1')")).output).toEqual(out("1"));
    expect(
      (await other.run("import os\nos.path.exists('/root/own'), 'x' in globals()")).output,
    ).toEqual(out("(False, False)"));
    const { output } = await other.run("1/0");
    expect(textOf(output, "stderr")).toMatch(/<code \d+>", line 1/);
  });

  it("counts its runs from one", async () => {
    await box("counting").start(config);
    const { output } = await box("counting").run("1/0");
    expect(textOf(output, "stderr")).toContain('File "<code 1>", line 1');
    await box("counting").stop();
  });

  it("environment, folder and user of a sandbox are its own", async () => {
    const sandbox = box("own");
    await sandbox.start({ ...config, envs: ["COLOUR=blue"], workdir: "/srv" });
    const code = "import os\nos.environ['COLOUR'], os.getcwd()";
    expect((await sandbox.run(code)).output).toEqual(out("('blue', '/srv')"));
    await sandbox.stop();
  });

  it("a disk that was kept is booted with, and keeps what was written", async () => {
    const sandbox = box("clone-0");
    await sandbox.run("open('/root/kept', 'w').write('data')");
    await sandbox.stop();
    await sandbox.start();
    expect((await sandbox.run("open('/root/kept').read()")).output).toEqual(out("'data'"));
  });

  it("the next server takes over what went on from a template of one that was killed", async () => {
    await box("clone-1").run("kept = 42");
    await server.kill();
    server = await TestServer.start({ driver: "qemu", home, env });
    expect((await box("clone-1").run("kept")).output).toEqual(out("42"));
  });

  it("one that was asked for is what the first sandbox of its kind goes on from", async () => {
    const ofClient = { MSB_HOME: home.path, MSB_SERVER_URL: "", MSB_API_KEY: "" };
    const warm = (...more: string[]) =>
      runProgram([process.execPath, builtCli(), ...WARM, ...more], { env: ofClient });
    const made = await warm();
    expect(made).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(
        `^Warmed ${PYTHON_IMAGE}: a template of [\\d.]+ MB, for sandboxes of 384 MiB, 1 CPU `,
      ),
      stderr: expect.stringMatching(
        /boot: a guest boots\n[^]*warm-up: done\n[^]*save: done, [\d.]+ MB\n/,
      ),
    });
    expect(templates()).toBe(1);
    const again = await warm("--json");
    expect(JSON.parse(again.stdout)).toMatchObject({ wasReady: true, headStart: "template" });

    // Whose interpreters have one hash seed, that of the template, have it from there.
    const seeds: string[] = [];
    for (const name of ["warmed-1", "warmed-2"]) {
      await box(name).start({ ...config, memory: 384 });
      seeds.push(textOf((await box(name).run("print(hash('seed'))")).output));
      await box(name).stop();
    }
    expect(seeds[0]).toMatch(/^-?\d+$/);
    expect(seeds[1]).toBe(seeds[0]);
    expect(templates()).toBe(1);
  });

  it("with another kernel than theirs they are given up, and made anew after a cold start", async () => {
    await replaceKernel(home);
    await box("upgraded").start({ ...config, memory: 384 });
    expect((await box("upgraded").run("print(1)")).output).toEqual(out("1"));
    await expect.poll(templates, MADE).toBe(2);
    expect(server.fullLog().match(/A template was given up/g)).toHaveLength(1);
    await box("upgraded").stop();
  });

  it("Node.js, too: numbers at random differ", async () => {
    const node = { ...config, image: NODE_IMAGE };
    await box("node-first").start(node);
    await expect.poll(templates, MADE).toBe(3);
    const seen: Facts[] = [];
    for (const name of ["node-1", "node-2", "node-3"]) {
      await box(name).start(node);
      seen.push(await factsOf(box(name), "node", NODE_FACTS));
    }
    const own = seen.flatMap((facts) => facts.own);
    expect(new Set(own).size).toBe(own.length);
    expect(seen.map(({ host }) => host)).toEqual(["node-1", "node-2", "node-3"]);
    for (const { time } of seen) expect(Math.abs(time)).toBeLessThan(10);
  });
});
