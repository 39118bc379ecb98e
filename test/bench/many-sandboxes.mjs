/** Many sandboxes of one server: starts at once, and their memory when all are idle. */
import { setTimeout as sleep } from "node:timers/promises";
import { childrenOf, memoryOf, rssMiB, vmOf } from "./processes.mjs";
import { round, spread } from "./samples.mjs";
import { runFirstCode, startSandbox, stopSandbox } from "./starts.mjs";

/** For what the start of the interpreter leaves to do. */
const SETTLE_MS = 3_000;

/** For each of `counts`: milliseconds until the last of so many is ready. `share` is of so many times one alone. */
export async function parallelStarts(server, what, { counts, rounds }) {
  const all = [...new Set([1, ...counts])];
  const samples = new Map(all.map((count) => [count, []]));
  for (let n = 0; n < rounds; n += 1) {
    for (const count of all) samples.get(count).push(await startAtOnce(server, what, count));
  }
  const oneMs = spread(samples.get(1)).p50;
  return counts.map((count) => {
    const lastMs = spread(samples.get(count));
    const sequentialMs = round(count * oneMs);
    return { sandboxes: count, lastMs, sequentialMs, ratio: round(lastMs.p50 / sequentialMs) };
  });
}

async function startAtOnce(server, what, count) {
  const names = namesOf(count);
  const begin = performance.now();
  await Promise.all(names.map((name) => startSandbox(server, name, what)));
  const ms = performance.now() - begin;
  await stopAll(server, names);
  return ms;
}

/** Of the server, and of each sandbox on the host: its VM process and the supervisor of that. */
export async function idleMemory(server, what, count) {
  const names = namesOf(count);
  for (const name of names) {
    await startSandbox(server, name, what);
    await runFirstCode(server, name, what);
  }
  await sleep(SETTLE_MS);
  const boxes = childrenOf(server.pid).map((supervisor) => {
    const parts = [memoryOf(supervisor), memoryOf(vmOf(supervisor))];
    const sum = (key) => parts.reduce((total, part) => total + part[key], 0);
    return { rss: sum("rss"), pss: sum("pss") };
  });
  const serverMiB = round(rssMiB(server.pid));
  await stopAll(server, names);
  if (boxes.length !== count) throw new Error(`${boxes.length} VMs ran, not ${count}`);
  return {
    sandboxes: count,
    serverMiB,
    givenMiB: what.memoryMiB,
    rssMiB: spread(boxes.map(({ rss }) => rss)),
    pssMiB: spread(boxes.map(({ pss }) => pss)),
  };
}

function namesOf(count) {
  return Array.from({ length: count }, (_, index) => `many-${index}`);
}

function stopAll(server, names) {
  return Promise.all(names.map((name) => stopSandbox(server, name)));
}
