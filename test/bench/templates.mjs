/**
 * Starts from a template against cold starts of the same server, alternating, in one run, both to a sandbox that is
 * ready and to the answer of its first code; the memory of idle sandboxes of both kinds; and how many go on one machine.
 *
 *   node test/bench/templates.mjs --store DIR [--rounds N] [--clones N] [--calls N] [--json FILE]
 *
 * DIR is what `test/helpers/server-images.ts` prints. On QEMU, which alone has templates.
 */
import { totalmem } from "node:os";
import { parseArgs } from "node:util";
import { end } from "./ends.mjs";
import { makeHome } from "./home.mjs";
import { childrenOf, memoryOf, ownMiB } from "./processes.mjs";
import { writeResult } from "./result.mjs";
import { inTurn, ratio, round, spread, timed } from "./samples.mjs";
import { NO_BUDGET, rpc, startServer } from "./server-fixture.mjs";
import { compareStarts, IMAGES, startWithCode, stopSandbox } from "./starts.mjs";

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
const clones = Number(args.clones);

try {
  const cold = await startServer(makeHome(args.store), "qemu", {
    env: { ...NO_BUDGET, MSB_MAX_TEMPLATES: "0" },
  });
  let tell = () => {};
  const quick = await startServer(makeHome(args.store), "qemu", {
    env: NO_BUDGET,
    onLine: (line) => line.includes("A template is ready") && tell(),
  });
  const result = {
    memoryGiB: round(totalmem() / 1024 ** 3),
  };
  for (const language of Object.keys(IMAGES)) {
    const isReady = new Promise((resolve) => (tell = resolve));
    const what = { language, memoryMiB: MEMORY_MIB };
    await startWithCode(quick, `first-${language}`, what);
    const makeMs = round(await timed(() => isReady));
    result[language] = { makeMs, ...(await compare({ cold, quick }, what)) };
    await stopSandbox(quick, `first-${language}`);
  }
  result.density = await density(quick);
  writeResult(result, args.json);
} finally {
  await end();
}

async function compare(servers, what) {
  const memory = { cold: [], quick: [] };
  const starts = await compareStarts(servers, Number(args.rounds), {
    ...what,
    whileIdle: (kind, server) => memory[kind].push(ownMiB(vmsOf(server).at(-1))),
  });
  const [coldMiB, quickMiB] = [spread(memory.cold), spread(memory.quick)];
  return { ...starts, ownMemory: { coldMiB, quickMiB, ratio: ratio(quickMiB, coldMiB) } };
}

/** All after each other; then the calls of one while the others are idle. */
async function density(server) {
  const names = Array.from({ length: clones }, (_, index) => `idle-${index}`);
  const what = { language: "python", memoryMiB: MEMORY_MIB };
  const starts = [];
  for (const name of names) starts.push((await startWithCode(server, name, what)).firstCodeMs);
  const pss = vmsOf(server).map((pid) => memoryOf(pid).pss);
  const work = () => rpc(server, "sandbox.command.run", names[0], { command: "true" });
  const { command } = await inTurn({ command: work }, Number(args.calls), 1);
  await Promise.all(names.map((name) => stopSandbox(server, name)));
  return {
    sandboxes: clones,
    startMs: spread(starts),
    pssMiB: spread(pss),
    pssAllMiB: round(pss.reduce((sum, value) => sum + value, 0)),
    commandMs: spread(command),
  };
}

/** The VM processes of a server's sandboxes, the newest last. */
function vmsOf(server) {
  return childrenOf(server.pid)
    .flatMap(childrenOf)
    .toSorted((a, b) => a - b);
}
