/** The floor of a boot: one disk, one console, and for all else the machine and the kernel of the driver's own VMs. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { hypervisorConfig } from "../../dist/config.js";
import { kernelCommandLine } from "../../dist/hypervisor/kernel-command-line.js";
import { qemuArgs } from "../../dist/hypervisor/qemu-args.js";
import { vmmPath } from "../../dist/native/binaries.js";
import { loadNative } from "../../dist/native/binding.js";
import { findQemu } from "../../dist/runtime/qemu.js";
import { resolveRuntime } from "../../dist/runtime/resolve.js";
import { makeScratch, onEnd } from "./ends.mjs";
import { peakRssMiB, vmOf } from "./processes.mjs";

const native = loadNative();

/** A function that boots one and waits for its end: from the call to the first byte of a static program. */
export async function bareVms(driver, { initramfs, imageDisk, memoryMiB, paths }) {
  const { kernel, libkrun } = await resolveRuntime({ paths });
  const common = {
    driver,
    detached: false,
    leaseMs: 0,
    vcpuCount: 1,
    memoryMiB,
    disks: [{ id: "image", path: imageDisk, readOnly: true }],
  };
  const config =
    driver === "libkrun"
      ? {
          ...common,
          channels: ["console"],
          libkrunPath: libkrun.path,
          kernelPath: kernel.path,
          kernelFormat: kernel.format,
          initramfsPath: initramfs,
          kernelCommandLine: kernelCommandLine({ reboot: "k" }),
        }
      : {
          ...common,
          // QEMU gets the first one, too, and leaves it alone: the console has its number in the arguments.
          channels: ["agent", "console"],
          qemuPath: (await findQemu()).path,
          qemuArgs: bareQemuArgs({ initramfs, imageDisk, memoryMiB }, kernel.path),
        };
  const dir = makeScratch();
  return () => bootOnce(config, dir);
}

/** Those of the driver without the agent's port. */
function bareQemuArgs(config, kernelPath) {
  const accelerator = hypervisorConfig().qemuAccelerator;
  const args = qemuArgs(
    { ...config, vcpuCount: 1, upperDisk: null },
    { accelerator, kernelPath, tscKhz: native.tscKhz() },
    "boot",
  );
  const isLeftOut = (word = "") => /\b(id|chardev)=agent\b/.test(word);
  return args.filter((word, index) => !isLeftOut(word) && !isLeftOut(args[index + 1]));
}

async function bootOnce(config, dir) {
  let rss = 0;
  const begin = performance.now();
  let vm;
  const ms = await new Promise((resolve, reject) => {
    vm = native.bootMicroVm(
      {
        vmmPath: vmmPath(),
        config: JSON.stringify(config),
        channels: config.channels.map((name) => ({ name, socketPath: join(dir, `${name}.sock`) })),
        detached: false,
      },
      (line) => {
        const { stage } = JSON.parse(line);
        if (stage === "failed") reject(new Error(line));
        if (stage !== "alive") return;
        const aliveMs = performance.now() - begin;
        rss = peakRssMiB(vmOf(vm.pid));
        resolve(aliveMs);
      },
    );
    onEnd(() => vm.kill("SIGTERM"));
  });
  await vm.exited;
  for (const name of config.channels) rmSync(join(dir, `${name}.sock`), { force: true });
  return { ms, rss };
}
