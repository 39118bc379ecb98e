/**
 * Boot to first command against a bare boot of the same kernel, and pings and execs against lines that a bare program
 * sends back over the same channel; alternating, in one run.
 *
 *   node test/bench/boot.mjs --driver qemu|libkrun --bare-initramfs FILE --image FILE [--rounds N] [--calls N] [--json FILE]
 */
import { parseArgs } from "node:util";
import { bareVms } from "./bare-vm.mjs";
import { end } from "./ends.mjs";
import { openDriver } from "./guests.mjs";
import { peakRssMiB, vmOf } from "./processes.mjs";
import { openRawChannel } from "./raw-channel.mjs";
import { writeResult } from "./result.mjs";
import { inTurn, ratio, spread, spreads, timed } from "./samples.mjs";

const { values: args } = parseArgs({
  options: {
    driver: { type: "string", default: "qemu" },
    "bare-initramfs": { type: "string" },
    image: { type: "string" },
    rounds: { type: "string", default: "10" },
    calls: { type: "string", default: "200" },
    json: { type: "string" },
  },
});
const MEMORY_MIB = 256;
const WARM_UP = 20;
const bare = {
  initramfs: args["bare-initramfs"],
  imageDisk: args.image,
  memoryMiB: MEMORY_MIB,
};

try {
  const { driver, paths, boot } = await openDriver(args.driver);
  const bareBoot = await bareVms(args.driver, { ...bare, paths });
  const bares = [];
  const fulls = [];
  // The first ones fill the caches of the host.
  for (let n = -1; n < Number(args.rounds); n += 1) {
    const [bareRun, fullRun] = [await bareBoot(), await fullBoot(boot)];
    if (n < 0) continue;
    bares.push(bareRun);
    fulls.push(fullRun);
  }
  report({ bares, fulls, calls: await roundTrips(driver, boot) });
} finally {
  await end();
}

function startGuest(boot) {
  return boot({ imageDisk: args.image, memoryMiB: MEMORY_MIB });
}

async function runTrue(guest) {
  await (await guest.agent.exec(["true"])).collect();
}

async function fullBoot(boot) {
  let guest;
  const ms = await timed(async () => {
    guest = await startGuest(boot);
    await runTrue(guest);
  });
  const rss = peakRssMiB(vmOf(guest.vm.pid));
  const { timings, vm } = guest;
  const stopMs = await timed(() => guest.stop());
  return { ms, rss, stopMs, guestStages: timings.guest, hostStages: vm.stages };
}

async function roundTrips(driver, boot) {
  const guest = await startGuest(boot);
  const raw = await openRawChannel(driver, bare);
  const works = {
    rawEcho: raw.echo,
    ping: () => guest.agent.ping("x"),
    rawFork: raw.fork,
    exec: () => runTrue(guest),
  };
  const samples = await inTurn(works, Number(args.calls), WARM_UP);
  await raw.close();
  await guest.stop();
  return spreads(samples);
}

function report({ bares, fulls, calls }) {
  const of = (runs, key) => spread(runs.map((run) => run[key]));
  const last = fulls.at(-1);
  const bootMs = of(fulls, "ms");
  const bareBootMs = of(bares, "ms");
  const result = {
    driver: args.driver,
    rounds: Number(args.rounds),
    bootMs,
    bareBootMs,
    bootRatio: ratio(bootMs, bareBootMs),
    bootRssMiB: of(fulls, "rss"),
    bareRssMiB: of(bares, "rss"),
    stopMs: of(fulls, "stopMs"),
    pingMs: calls.ping,
    rawEchoMs: calls.rawEcho,
    pingRatio: ratio(calls.ping, calls.rawEcho),
    execMs: calls.exec,
    rawForkMs: calls.rawFork,
    execRatio: ratio(calls.exec, calls.rawFork),
    guestStages: last.guestStages,
    hostStages: last.hostStages,
  };
  writeResult(result, args.json);
}
