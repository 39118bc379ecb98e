/**
 * Running code against what it is made of, alternating, in one run: code against a ping on the same channel and against
 * lines that the same interpreter sends back, prints against the same bytes of a command, the first code with an
 * interpreter that was started ahead and without.
 *
 *   node test/bench/kernel.mjs --driver qemu|libkrun --store DIR [--rounds N] [--calls N] [--mib N] [--json FILE]
 *
 * DIR is what `test/helpers/server-images.ts` prints.
 */
import * as fs from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { createUpperDisk, Guest, openHypervisor } from "../../dist/microvm.js";
import { openKernels } from "../../dist/kernel/open-kernels.js";
import { Images } from "../../dist/oci/images.js";
import { msbPaths } from "../../dist/paths.js";

const { values: args } = parseArgs({
  options: {
    driver: { type: "string", default: "qemu" },
    store: { type: "string" },
    rounds: { type: "string", default: "5" },
    calls: { type: "string", default: "200" },
    mib: { type: "string", default: "100" },
    json: { type: "string" },
  },
});
const MIB = 1024 ** 2;
const LINE_BYTES = 1024;
const BYTES = Number(args.mib) * MIB;
const ENV = ["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/root"];
const LANGUAGES = {
  python: {
    image: "msb-ts/python:latest",
    echo: ["python3", "-c", "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"],
    prints: `line = 'x' * ${LINE_BYTES - 1}\nfor _ in range(${BYTES / LINE_BYTES}): print(line)`,
  },
  node: {
    image: "msb-ts/node:latest",
    echo: ["node", "-e", "process.stdin.on('data', (data) => process.stdout.write(data))"],
    prints: `const line = 'x'.repeat(${LINE_BYTES - 1}); for (let n = 0; n < ${BYTES / LINE_BYTES}; n++) console.log(line)`,
  },
};

const home = fs.mkdtempSync(join(tmpdir(), "msb-bench-"));
fs.mkdirSync(join(home, "images"));
for (const name of ["blobs", "disks"]) {
  fs.symlinkSync(join(resolve(args.store), name), join(home, "images", name));
}
fs.cpSync(join(args.store, "tags"), join(home, "images/tags"), { recursive: true });
try {
  const hypervisor = await openHypervisor();
  const result = { driver: args.driver, cpu: cpus()[0]?.model ?? "unknown" };
  for (const language of Object.keys(LANGUAGES)) {
    const boot = await guestsOf(hypervisor, language);
    result[language] = {
      first: await firstRuns(boot, language),
      ...(await withGuest(boot, (box) => warmRuns(box, language))),
    };
  }
  console.log(JSON.stringify(result, null, 2));
  if (args.json) fs.writeFileSync(args.json, JSON.stringify(result));
} finally {
  fs.rmSync(home, { recursive: true, force: true });
}

/** Boots guests that have a language, each with its kernels. */
async function guestsOf(hypervisor, language) {
  const { image } = LANGUAGES[language];
  const driver = args.driver === "libkrun" ? hypervisor.libkrun : hypervisor.qemu;
  const images = await Images.open({ paths: msbPaths(home), env: {} });
  const { disk } = await images.ensure(image, { pullPolicy: "never" });
  await images[Symbol.asyncDispose]();
  let count = 0;
  return async () => {
    const upperDisk = join(home, `${language}-${++count}.ext4`);
    await createUpperDisk(upperDisk, { sizeBytes: 4 * 1024 * MIB, paths: hypervisor.paths });
    const config = {
      id: `bench-${process.pid}-${language}-${count}`,
      vcpuCount: 1,
      memoryMiB: 512,
      bootDisk: hypervisor.bootDisk,
      imageDisk: disk.path,
      upperDisk,
      lifetime: "owner",
      leaseMs: 0,
    };
    const guest = await Guest.boot(driver, config, { timeoutMs: 120_000 });
    const opts = { env: ENV, workdir: "/root", user: "root", maxOutputBytes: 2 * BYTES };
    const kernels = await openKernels(guest.agent, opts);
    return { guest, kernels };
  };
}

/** What `use` gives of a guest that is ready, which ends with it. */
async function withGuest(boot, use) {
  const box = await boot();
  try {
    return await use(box);
  } finally {
    await box.guest.stop();
  }
}

/** The first code of a guest that is ready: as it is, and when its interpreter was started ahead. */
async function firstRuns(boot, language) {
  const samples = { cold: [], prewarm: [], prewarmed: [] };
  for (let i = 0; i < Number(args.rounds); i += 1) {
    await withGuest(boot, async ({ kernels }) => {
      samples.cold.push(await timed(() => run(kernels, language, "1")));
    });
    await withGuest(boot, async ({ kernels }) => {
      samples.prewarm.push(await timed(() => kernels.prewarm(language)));
      samples.prewarmed.push(await timed(() => run(kernels, language, "1")));
    });
  }
  return Object.fromEntries(Object.entries(samples).map(([name, list]) => [name, spread(list)]));
}

async function warmRuns({ guest, kernels }, language) {
  const switches = {
    python: "import sys\nfor n in range(50): print(n); print(n, file=sys.stderr)",
    node: "for (let n = 0; n < 50; n++) { console.log(n); console.error(n) }",
  };
  const { ping, echo, code } = await roundTrips({ guest, kernels }, language);
  await run(kernels, language, switches[language]);
  const switching = await timed(() => run(kernels, language, switches[language]));
  const script = `yes ${"x".repeat(LINE_BYTES - 1)} | head -c ${BYTES}`;
  const raw = await throughput(() => execBytes(guest, script));
  const prints = await throughput(() => run(kernels, language, LANGUAGES[language].prints));
  return {
    ping: spread(ping),
    echo: spread(echo),
    code: spread(code),
    codeToPing: round(percentile(code, 0.5) / percentile(ping, 0.5)),
    codeToEcho: round(percentile(code, 0.5) / percentile(echo, 0.5)),
    perSwitchMs: round(switching / 100),
    output: { mib: Number(args.mib), raw, prints, ratio: round(raw.mibPerS / prints.mibPerS) },
  };
}

/** Of the channel alone, of the channel with the interpreter, and of code. */
async function roundTrips({ guest, kernels }, language) {
  const samples = { ping: [], echo: [], code: [] };
  const echo = await guest.agent.exec(LANGUAGES[language].echo, { env: ENV, stdin: true });
  const output = echo.output[Symbol.asyncIterator]();
  const work = {
    ping: () => guest.agent.ping("x"),
    echo: async () => {
      await echo.write(Buffer.from("x\n"));
      await output.next();
    },
    code: () => run(kernels, language, "1"),
  };
  for (let i = -20; i < Number(args.calls); i += 1) {
    for (const [name, list] of Object.entries(samples)) {
      const ms = await timed(work[name]);
      if (i >= 0) list.push(ms);
    }
  }
  await echo.close();
  return samples;
}

/** Bytes of output. */
async function run(kernels, language, code) {
  let bytes = 0;
  let end;
  for await (const event of kernels.run({ language, code, timeoutMs: 0 })) {
    if (event.type === "stdout") bytes += Buffer.byteLength(event.text);
    end = event;
  }
  if (end?.status !== "success") throw new Error(JSON.stringify(end));
  return bytes;
}

async function execBytes(guest, script) {
  const exec = await guest.agent.exec(["sh", "-c", script], { env: ENV });
  let bytes = 0;
  for await (const { data } of exec.output) bytes += data.length;
  await exec.close();
  return bytes;
}

/** Of BYTES, and by how much this process grows at most while they come. */
async function throughput(work) {
  const before = process.memoryUsage.rss();
  let peak = before;
  const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 20);
  const begin = performance.now();
  try {
    const bytes = await work();
    if (bytes !== BYTES) throw new Error(`${bytes} bytes came, not ${BYTES}`);
  } finally {
    clearInterval(watch);
  }
  const seconds = (performance.now() - begin) / 1000;
  return { mibPerS: round(BYTES / MIB / seconds), grownMiB: round((peak - before) / MIB) };
}

async function timed(work) {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

function percentile(samples, share) {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** On a busy machine the tenth percentile is what the work takes. */
function spread(samples) {
  const at = (share) => round(percentile(samples, share));
  return { p10Ms: at(0.1), p50Ms: at(0.5), p95Ms: at(0.95) };
}

function round(value) {
  return Math.round(value * 100) / 100;
}
