/**
 * The server against what it is made of, alternating, in one run: a start against the driver's own boot, a command and
 * code against the same command on a guest of our own, requests against a bare Fastify route, many starts at once against
 * one after the other; memory of the server and of idle sandboxes.
 *
 *   node test/bench/server.mjs --driver qemu|libkrun --store DIR [--rounds N] [--calls N] [--sandboxes 1,4,16]
 *                              [--json FILE]
 *
 * DIR is what `test/helpers/server-images.ts` prints.
 */
import { parseArgs } from "node:util";
import { end } from "./ends.mjs";
import { openDriver } from "./guests.mjs";
import { imageDiskOf, makeHome } from "./home.mjs";
import { idleMemory, parallelStarts } from "./many-sandboxes.mjs";
import { rssMiB } from "./processes.mjs";
import { writeResult } from "./result.mjs";
import { inTurn, ratio, round, spreads, timed } from "./samples.mjs";
import { call, NO_BUDGET, rpc, startProcess, startServer } from "./server-fixture.mjs";
import { IMAGES, startSandbox, stopSandbox } from "./starts.mjs";

const { values: args } = parseArgs({
  options: {
    driver: { type: "string", default: "qemu" },
    store: { type: "string" },
    rounds: { type: "string", default: "5" },
    calls: { type: "string", default: "100" },
    sandboxes: { type: "string" },
    json: { type: "string" },
  },
});
const WHAT = { language: "python", memoryMiB: 256 };
/** How many start at once; the emulated KVM host has not the memory for more. */
const counts = (args.sandboxes ?? (args.driver === "libkrun" ? "1,4" : "1,4,16"))
  .split(",")
  .map(Number);
const most = Math.max(...counts);
/** As many as the slowest route here answers in a few seconds. */
const HTTP_CALLS = 2_000;
const HTTP_WARM_UP = 300;

try {
  const home = makeHome(args.store);
  const server = await startServer(home, args.driver, {
    env: { ...NO_BUDGET, MSB_MAX_TEMPLATES: "0" },
  });
  const bare = await startBareServer();
  const { boot } = await openDriver(args.driver);
  const imageDisk = await imageDiskOf(home, IMAGES[WHAT.language]);
  const bootGuest = () => boot({ imageDisk, memoryMiB: WHAT.memoryMiB });
  const emptyMiB = round(rssMiB(server.pid));
  const http = await httpCosts(server, bare);
  const start = await startCosts(server, bootGuest);
  const calls = await callCosts(server, bootGuest);
  const parallel = await parallelStarts(server, WHAT, { counts, rounds: parallelRounds() });
  const memory = { emptyMiB, ...(await idleMemory(server, WHAT, most)) };
  report({ http, start, calls, parallel, memory });
} finally {
  await end();
}

/** They take longest of all, and each is many starts already. */
function parallelRounds() {
  return Math.min(Number(args.rounds), 3);
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

async function httpCosts(server, bare) {
  const wrong = { jsonrpc: "2.0", id: "1", method: "sandbox.start", params: { namespace: "-" } };
  const works = {
    bareGetMs: () => call(bare, "/"),
    healthMs: () => call(server, "/api/v1/health"),
    barePostMs: () => call(bare, "/", wrong),
    invalidRpcMs: () => call(server, "/api/v1/rpc", wrong),
  };
  return spreads(await inTurn(works, HTTP_CALLS, HTTP_WARM_UP));
}

/** From the call to a sandbox that is ready, and to a guest that is ready, on disks that are new each time. */
async function startCosts(server, bootGuest) {
  const [sandbox, guest, stop] = [[], [], []];
  for (let n = 0; n < Number(args.rounds); n += 1) {
    let floor;
    guest.push(await timed(async () => (floor = await bootGuest())));
    await floor.stop();
    sandbox.push(await timed(() => startSandbox(server, `start-${n}`, WHAT)));
    stop.push(await timed(() => stopSandbox(server, `start-${n}`)));
  }
  return spreads({ guestBootMs: guest, sandboxStartMs: sandbox, stopMs: stop });
}

async function callCosts(server, bootGuest) {
  const guest = await bootGuest();
  await startSandbox(server, "calls", WHAT);
  const works = {
    execMs: async () => (await guest.agent.exec(["true"])).collect(),
    commandMs: () => rpc(server, "sandbox.command.run", "calls", { command: "true" }),
    codeMs: () => rpc(server, "sandbox.repl.run", "calls", { language: "python", code: "1" }),
  };
  const samples = await inTurn(works, Number(args.calls), 1);
  await stopSandbox(server, "calls");
  await guest.stop();
  return spreads(samples);
}

function report({ http, start, calls, parallel, memory }) {
  const result = {
    driver: args.driver,
    rounds: Number(args.rounds),
    start: { ...start, ratio: ratio(start.sandboxStartMs, start.guestBootMs) },
    calls: {
      ...calls,
      commandRatio: ratio(calls.commandMs, calls.execMs),
      codeRatio: ratio(calls.codeMs, calls.execMs),
    },
    http: {
      ...http,
      healthRatio: ratio(http.healthMs, http.bareGetMs),
      invalidRpcRatio: ratio(http.invalidRpcMs, http.barePostMs),
    },
    parallel,
    memory,
  };
  writeResult(result, args.json);
}
