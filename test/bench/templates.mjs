/**
 * Starts from a template against cold starts of the same server, alternating, in one run, both to a sandbox that is
 * ready and to the answer of its first code; the memory of idle sandboxes of both kinds; and how many go on one machine.
 *
 *   node test/bench/templates.mjs --store DIR [--rounds N] [--clones N] [--calls N] [--json FILE]
 *
 * DIR is what `test/helpers/server-images.ts` prints. On QEMU, which alone has templates.
 */
import * as fs from "node:fs";
import { cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { end, makeHome, percentile, rpc, startServer, timed } from "./server-fixture.mjs";

const { values: args } = parseArgs({
  options: {
    store: { type: "string" },
    rounds: { type: "string", default: "5" },
    clones: { type: "string", default: "20" },
    calls: { type: "string", default: "50" },
    json: { type: "string" },
  },
});
const MEMORY_MIB = 512;
const IMAGES = { python: "msb-ts/python:latest", node: "msb-ts/node:latest" };
const clones = Number(args.clones);

try {
  const budget = { MSB_VCPU_BUDGET: "128", MSB_MEMORY_BUDGET_MIB: "1000000" };
  const cold = await startServer(makeHome(args.store), "qemu", {
    env: { ...budget, MSB_MAX_TEMPLATES: "0" },
  });
  let ready = () => {};
  const quick = await startServer(makeHome(args.store), "qemu", {
    env: budget,
    onLine: (line) => line.includes("A template is ready") && ready(),
  });
  const made = () => new Promise((resolve) => (ready = resolve));
  const result = { cpu: cpus()[0]?.model ?? "unknown", memoryGiB: toGiB(totalmem()) };
  for (const language of Object.keys(IMAGES)) {
    const isReady = made();
    await startOf(quick, `first-${language}`, language);
    const makeMs = await timed(() => isReady);
    result[language] = { makeMs, ...(await compareStarts({ cold, quick }, language)) };
    await rpc(quick, "sandbox.stop", `first-${language}`);
  }
  result.density = await density(quick);
  console.log(JSON.stringify(rounded(result), null, 2));
  if (args.json) fs.writeFileSync(args.json, JSON.stringify(rounded(result)));
} finally {
  await end();
}

/** Milliseconds until the sandbox is ready, and until its first code has answered. */
async function startOf(server, name, language) {
  const config = { image: IMAGES[language], memory: MEMORY_MIB, cpus: 1 };
  const begin = performance.now();
  await rpc(server, "sandbox.start", name, { config });
  const readyMs = performance.now() - begin;
  await rpc(server, "sandbox.repl.run", name, { language, code: "1" });
  return { readyMs, firstMs: performance.now() - begin };
}

async function compareStarts(servers, language) {
  const samples = { cold: [], quick: [] };
  const memory = { cold: [], quick: [] };
  for (let round = 0; round < Number(args.rounds); round += 1) {
    for (const [kind, server] of Object.entries(servers)) {
      const name = `${language}-${round}`;
      samples[kind].push(await startOf(server, name, language));
      memory[kind].push(...privateMiB(await vmPids(server)).slice(-1));
      await rpc(server, "sandbox.stop", name);
    }
  }
  const median = (kind, key) =>
    percentile(
      samples[kind].map((sample) => sample[key]),
      0.5,
    );
  const both = (key) => ({
    coldMs: median("cold", key),
    templateMs: median("quick", key),
    ratio: median("quick", key) / median("cold", key),
  });
  const [coldMiB, templateMiB] = ["cold", "quick"].map((kind) => percentile(memory[kind], 0.5));
  return {
    ready: both("readyMs"),
    firstCode: both("firstMs"),
    ownMemory: { coldMiB, templateMiB, ratio: templateMiB / coldMiB },
  };
}

/** All after each other; then the calls of one while the others are idle. */
async function density(server) {
  const names = Array.from({ length: clones }, (_, index) => `idle-${index}`);
  const begin = performance.now();
  for (const name of names) await startOf(server, name, "python");
  const allMs = performance.now() - begin;
  const pids = await vmPids(server);
  const pss = pids.map((pid) => smaps(pid, "Pss"));
  const call = () => rpc(server, "sandbox.command.run", names[0], { command: "true" });
  await call();
  const samples = [];
  for (let i = 0; i < Number(args.calls); i += 1) samples.push(await timed(call));
  await Promise.all(names.map((name) => rpc(server, "sandbox.stop", name)));
  return {
    sandboxes: clones,
    startAllMs: allMs,
    eachMs: allMs / clones,
    pssEachMiB: percentile(pss, 0.5),
    pssAllMiB: pss.reduce((sum, value) => sum + value, 0),
    commandP50Ms: percentile(samples, 0.5),
    commandP95Ms: percentile(samples, 0.95),
  };
}

/** The VM processes of a server's sandboxes, the newest last: the children of its supervisors. */
async function vmPids(server) {
  const parents = new Map();
  for (const name of fs.readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    try {
      const stat = fs.readFileSync(`/proc/${name}/stat`, "utf8");
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
      // It ended meanwhile.
    }
  }
  const childrenOf = (pid) => [...parents].filter(([, parent]) => parent === pid).map(([id]) => id);
  return childrenOf(server.pid)
    .flatMap(childrenOf)
    .toSorted((a, b) => a - b);
}

/** What would be free if the process alone ended. */
function privateMiB(pids) {
  return pids.map((pid) => smaps(pid, "Private_Clean") + smaps(pid, "Private_Dirty"));
}

function smaps(pid, field) {
  const text = fs.readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(text)[1]) / 1024;
}

function toGiB(bytes) {
  return bytes / 1024 ** 3;
}

function rounded(value) {
  if (typeof value === "number") return Math.round(value * 1000) / 1000;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, rounded(item)]));
}
