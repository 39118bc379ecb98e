/**
 * Boot to first command against a bare boot of the same kernel, and exec round trips against pings on the
 * same channel; alternating, in one run.
 *
 *   node test/bench/boot.mjs --driver qemu|libkrun --bare-disk FILE [--image FILE] [--rounds N] [--json FILE]
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createUpperDisk, Guest, openHypervisor } from "../../dist/microvm.js";
import { vmmPath } from "../../dist/native/binaries.js";
import { loadNative } from "../../dist/native/binding.js";
import { kernelCommandLine } from "../../dist/hypervisor/kernel-command-line.js";
import { findQemu } from "../../dist/runtime/qemu.js";
import { resolveRuntime } from "../../dist/runtime/resolve.js";

const { values: args } = parseArgs({
  options: {
    driver: { type: "string", default: "qemu" },
    "bare-disk": { type: "string" },
    image: { type: "string" },
    rounds: { type: "string", default: "5" },
    json: { type: "string" },
  },
});
const MEMORY_MIB = 256;
const rounds = Number(args.rounds);
const hypervisor = await openHypervisor();
const driver = args.driver === "libkrun" ? hypervisor.libkrun : hypervisor.qemu;
const runtime = await resolveRuntime({ paths: hypervisor.paths });
const native = loadNative();
const dir = mkdtempSync(join(tmpdir(), "msb-bench-"));

function percentile(samples, share) {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
const median = (samples) => percentile(samples, 0.5);

/** The process that is the VM: the supervisor's only child. */
function vmPidOf(supervisor) {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .find((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, "utf8");
        return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === supervisor;
      } catch {
        return false;
      }
    });
}
function peakRssMiB(pid) {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;
}

/** One disk, one console, the same kernel: from the call to the first byte of a static program. */
async function bareBoot() {
  const disk = { id: "boot", path: args["bare-disk"], readOnly: true };
  const config = {
    driver: args.driver,
    detached: false,
    leaseMs: 0,
    vcpuCount: 1,
    memoryMiB: MEMORY_MIB,
    channels: ["console"],
    disks: [disk],
    ...(args.driver === "libkrun"
      ? {
          libkrunPath: runtime.libkrun.path,
          kernelPath: runtime.kernel.path,
          kernelFormat: runtime.kernel.format,
          kernelCommandLine: kernelCommandLine({ reboot: "k" }),
        }
      : {
          qemuPath: (await findQemu()).path,
          qemuArgs: [
            ...[
              "-M",
              "microvm,acpi=off",
              "-accel",
              "tcg",
              "-cpu",
              "max",
              "-m",
              `${MEMORY_MIB}`,
              "-smp",
              "1",
            ],
            ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"],
            ...["-kernel", runtime.kernel.path],
            ...["-append", kernelCommandLine({ reboot: "t", tscKhz: native.tscKhz() })],
            ...["-chardev", "socket,id=console,fd=3", "-device", "virtio-serial-device"],
            ...["-device", "virtconsole,chardev=console"],
            ...["-drive", `id=boot,if=none,format=raw,file=${disk.path},readonly=on`],
            ...["-device", "virtio-blk-device,drive=boot"],
          ],
        }),
  };
  const start = performance.now();
  let rss = 0;
  const alive = Promise.withResolvers?.() ?? withResolvers();
  const vm = native.bootMicroVm(
    {
      vmmPath: vmmPath(),
      config: JSON.stringify(config),
      channels: [{ name: "console", socketPath: join(dir, "bare.sock") }],
      detached: false,
    },
    (line) => {
      const report = JSON.parse(line);
      if (report.stage === "failed") alive.reject(new Error(line));
      if (report.stage !== "alive") return;
      rss = peakRssMiB(vmPidOf(vm.pid));
      alive.resolve(performance.now() - start);
    },
  );
  const ms = await alive.promise;
  await vm.exited;
  rmSync(join(dir, "bare.sock"), { force: true });
  return { ms, rss };
}

function withResolvers() {
  const result = {};
  result.promise = new Promise((resolve, reject) => Object.assign(result, { resolve, reject }));
  return result;
}

let count = 0;
async function fullBoot(then) {
  const upperDisk = join(dir, `${++count}.ext4`);
  const start = performance.now();
  await createUpperDisk(upperDisk, { sizeBytes: 4 * 1024 ** 3, paths: hypervisor.paths });
  const guest = await Guest.boot(
    driver,
    {
      id: `bench-${process.pid}-${count}`,
      vcpuCount: 1,
      memoryMiB: MEMORY_MIB,
      bootDisk: hypervisor.bootDisk,
      imageDisk: args.image,
      upperDisk,
      lifetime: "owner",
      leaseMs: 0,
    },
    { timeoutMs: 120_000 },
  );
  await (await guest.agent.exec(["true"])).collect();
  const ms = performance.now() - start;
  const rss = peakRssMiB(vmPidOf(guest.vm.pid));
  const extra = await then?.(guest);
  const { timings } = guest;
  const { stages } = guest.vm;
  const stopStart = performance.now();
  await guest.stop();
  rmSync(upperDisk);
  return { ms, rss, timings, stages, stopMs: performance.now() - stopStart, extra };
}

async function roundTrips(guest) {
  const pings = [];
  const execs = [];
  for (let i = 0; i < 200; i++) {
    const start = performance.now();
    await guest.agent.ping("x");
    pings.push(performance.now() - start);
  }
  for (let i = 0; i < 50; i++) {
    const start = performance.now();
    await (await guest.agent.exec(["true"])).collect();
    execs.push(performance.now() - start);
  }
  return { pings, execs };
}

try {
  const bare = [];
  const full = [];
  for (let i = 0; i < rounds; i++) {
    bare.push(await bareBoot());
    full.push(await fullBoot(i === rounds - 1 ? roundTrips : undefined));
  }
  const { pings, execs } = full.at(-1).extra;
  const of = (runs, key) => median(runs.map((run) => run[key]));
  const round = (value) => Math.round(value * 100) / 100;
  const result = {
    driver: args.driver,
    rounds,
    cpu: cpus()[0]?.model ?? "unknown",
    bareBootMs: round(of(bare, "ms")),
    bootToFirstCommandMs: round(of(full, "ms")),
    bootRatio: round(of(full, "ms") / of(bare, "ms")),
    bareRssMiB: round(of(bare, "rss")),
    bootRssMiB: round(of(full, "rss")),
    rssRatio: round(of(full, "rss") / of(bare, "rss")),
    stopMs: round(of(full, "stopMs")),
    pingP50Ms: round(median(pings)),
    pingP95Ms: round(percentile(pings, 0.95)),
    execP50Ms: round(median(execs)),
    execP95Ms: round(percentile(execs, 0.95)),
    execRatio: round(median(execs) / median(pings)),
    guestStages: full.at(-1).timings.guest,
    hostStages: full.at(-1).stages,
  };
  console.log(JSON.stringify(result, null, 2));
  if (args.json) writeFileSync(args.json, JSON.stringify(result));
} finally {
  rmSync(dir, { recursive: true, force: true });
}
