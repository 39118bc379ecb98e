/**
 * The server against what it is made of, alternating, in one run: a start against the driver's own boot, a command and
 * code against the same command on a guest of our own, requests against a bare Fastify route; memory with sandboxes and
 * without.
 *
 *   node test/bench/server.mjs --driver qemu|libkrun --store DIR [--rounds N] [--calls N] [--sandboxes N] [--json FILE]
 *
 * DIR is what `test/helpers/server-images.ts` prints.
 */
import * as fs from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createUpperDisk, Guest, openHypervisor } from "../../dist/microvm.js";
import { Images } from "../../dist/oci/images.js";
import { msbPaths } from "../../dist/paths.js";
import {
  call,
  end,
  makeHome,
  percentile,
  rpc,
  rssMiB,
  startProcess,
  startServer,
  timed,
} from "./server-fixture.mjs";

const { values: args } = parseArgs({
  options: {
    driver: { type: "string", default: "qemu" },
    store: { type: "string" },
    rounds: { type: "string", default: "5" },
    calls: { type: "string", default: "100" },
    sandboxes: { type: "string", default: "4" },
    json: { type: "string" },
  },
});
const MEMORY_MIB = 256;
const UPPER_BYTES = 4 * 1024 ** 3;
const IMAGE = "msb-ts/python:latest";
/** As many as the slowest route here answers in a few seconds. */
const HTTP_CALLS = 2_000;
/** Requests before the clock runs. */
const WARM_UP = 300;

const home = makeHome(args.store);
try {
  const server = await startServer(home, args.driver, {
    env: { MSB_MAX_CONCURRENT_BOOTS: args.sandboxes, MSB_MAX_TEMPLATES: "0" },
    // The default goes by the cores of the host, which is not what is measured here.
    words: ["--vcpu-budget", args.sandboxes],
  });
  const bare = await startBareServer();
  const { driver, config } = await ownDriver();
  const emptyRssMiB = rssMiB(server.pid);
  const http = await httpOverhead(server, bare);
  const starts = await startCosts(server, driver, config);
  const calls = await callCosts(server, driver, config);
  const many = await manySandboxes(server);
  report({ emptyRssMiB, http, starts, calls, many });
} finally {
  await end();
}

/** What Fastify takes for itself: the same answer as the health route, and nothing else. */
async function startBareServer() {
  const program = `
    import fastify from "fastify";
    const app = fastify();
    app.get("/", async () => ({ message: "Service is healthy" }));
    app.post("/", async () => ({ message: "Service is healthy" }));
    await app.listen({ host: "127.0.0.1", port: 0 });
    console.log("Server listening on 127.0.0.1:" + app.server.address().port);`;
  return startProcess(["--input-type=module", "-e", program], process.env);
}

async function ownDriver() {
  const hypervisor = await openHypervisor();
  const driver = args.driver === "libkrun" ? hypervisor.libkrun : hypervisor.qemu;
  const images = await Images.open({ paths: msbPaths(home), env: {} });
  const { disk } = await images.ensure(IMAGE, { pullPolicy: "never" });
  await images[Symbol.asyncDispose]();
  let count = 0;
  const config = async () => {
    const upperDisk = join(home, `bench-${++count}.ext4`);
    await createUpperDisk(upperDisk, { sizeBytes: UPPER_BYTES, paths: hypervisor.paths });
    return {
      id: `bench-${process.pid}-${count}`,
      vcpuCount: 1,
      memoryMiB: MEMORY_MIB,
      bootDisk: hypervisor.bootDisk,
      imageDisk: disk.path,
      upperDisk,
      lifetime: "owner",
      leaseMs: 0,
    };
  };
  return { driver, config };
}

function startSandbox(server, name) {
  const config = { image: IMAGE, memory: MEMORY_MIB, cpus: 1 };
  return rpc(server, "sandbox.start", name, { config });
}

async function httpOverhead(server, bare) {
  const wrong = { jsonrpc: "2.0", id: "1", method: "sandbox.start", params: { namespace: "-" } };
  const runs = {
    bareGet: () => call(bare, "/"),
    health: () => call(server, "/api/v1/health"),
    barePost: () => call(bare, "/", wrong),
    invalidRpc: () => call(server, "/api/v1/rpc", wrong),
  };
  const samples = Object.fromEntries(Object.keys(runs).map((name) => [name, []]));
  for (let i = -WARM_UP; i < HTTP_CALLS; i += 1) {
    for (const [name, run] of Object.entries(runs)) {
      const ms = await timed(run);
      if (i >= 0) samples[name].push(ms);
    }
  }
  return samples;
}

/** From the call to a sandbox that is ready, and to a guest that is ready, on disks that are new each time. */
async function startCosts(server, driver, config) {
  const [sandbox, guest, stop] = [[], [], []];
  for (let round = 0; round < Number(args.rounds); round += 1) {
    const name = `start${round}`;
    const begin = performance.now();
    const floor = await Guest.boot(driver, await config(), { timeoutMs: 120_000 });
    guest.push(performance.now() - begin);
    await floor.stop();
    sandbox.push(await timed(() => startSandbox(server, name)));
    stop.push(await timed(() => rpc(server, "sandbox.stop", name)));
  }
  return { sandbox, guest, stop };
}

async function callCosts(server, driver, config) {
  const guest = await Guest.boot(driver, await config(), { timeoutMs: 120_000 });
  await startSandbox(server, "calls");
  const runs = {
    exec: async () => (await guest.agent.exec(["true"])).collect(),
    command: () => rpc(server, "sandbox.command.run", "calls", { command: "true" }),
    code: () => rpc(server, "sandbox.repl.run", "calls", { language: "python", code: "1" }),
  };
  for (const run of Object.values(runs)) await run();
  const samples = { exec: [], command: [], code: [] };
  for (let i = 0; i < Number(args.calls); i += 1) {
    for (const [name, run] of Object.entries(runs)) samples[name].push(await timed(run));
  }
  await rpc(server, "sandbox.stop", "calls");
  await guest.stop();
  return samples;
}

/** All at once: until the first and until the last is ready, and what the server itself grows by. */
async function manySandboxes(server) {
  const names = Array.from({ length: Number(args.sandboxes) }, (_, index) => `many${index}`);
  const before = rssMiB(server.pid);
  const begin = performance.now();
  const ready = await Promise.all(
    names.map(async (name) => {
      await startSandbox(server, name);
      return performance.now() - begin;
    }),
  );
  const after = rssMiB(server.pid);
  await Promise.all(names.map((name) => rpc(server, "sandbox.stop", name)));
  return { before, after, firstMs: Math.min(...ready), lastMs: Math.max(...ready) };
}

function report({ emptyRssMiB, http, starts, calls, many }) {
  const round = (value) => Math.round(value * 100) / 100;
  const p50 = (samples) => percentile(samples, 0.5);
  const both = (samples) => ({
    p50Ms: round(p50(samples)),
    p95Ms: round(percentile(samples, 0.95)),
  });
  const ratio = (ours, floor) => round(p50(ours) / p50(floor));
  const result = {
    driver: args.driver,
    rounds: Number(args.rounds),
    cpu: cpus()[0]?.model ?? "unknown",
    start: {
      guestBoot: both(starts.guest),
      sandboxStart: both(starts.sandbox),
      ratio: ratio(starts.sandbox, starts.guest),
      stop: both(starts.stop),
    },
    calls: {
      exec: both(calls.exec),
      command: both(calls.command),
      commandRatio: ratio(calls.command, calls.exec),
      code: both(calls.code),
      codeRatio: ratio(calls.code, calls.exec),
    },
    http: {
      bareGet: both(http.bareGet),
      health: both(http.health),
      healthRatio: ratio(http.health, http.bareGet),
      barePost: both(http.barePost),
      invalidRpc: both(http.invalidRpc),
      invalidRpcRatio: ratio(http.invalidRpc, http.barePost),
    },
    memory: {
      emptyMiB: round(emptyRssMiB),
      beforeMiB: round(many.before),
      withSandboxesMiB: round(many.after),
      sandboxes: Number(args.sandboxes),
      perSandboxMiB: round((many.after - many.before) / Number(args.sandboxes)),
    },
    parallelStarts: {
      sandboxes: Number(args.sandboxes),
      firstMs: round(many.firstMs),
      lastMs: round(many.lastMs),
      // 1: as fast as one after the other; 1/sandboxes: as fast as one alone.
      shareOfSequential: round(many.lastMs / (p50(starts.sandbox) * Number(args.sandboxes))),
    },
  };
  console.log(JSON.stringify(result, null, 2));
  if (args.json) fs.writeFileSync(args.json, JSON.stringify(result));
}
