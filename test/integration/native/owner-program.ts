/** Starts a VM whose VM process is a shell script, says which processes it has, and waits. See adoption.test.ts. */
import { once } from "node:events";
import { loadNative } from "../../../src/native/binding.js";
import { vmmPath } from "../../../src/native/binaries.js";
import { VmProcess } from "../../../src/hypervisor/vm-process.js";
import { msbPaths } from "../../../src/paths.js";

export interface OwnerJob {
  readonly home: string;
  readonly id: string;
  readonly script: string;
  readonly disk: string;
  readonly lifetime: "owner" | "detached";
  readonly leaseMs: number;
  /** `release`: lets the VM go and ends by itself; `end`: just ends, so that a VM of its own ends, too. */
  readonly whenTold: "end" | "release";
}

const job = JSON.parse(process.argv[2]!) as OwnerJob;
const vm = await VmProcess.start(
  loadNative(),
  {
    id: job.id,
    vcpuCount: 1,
    memoryMiB: 64,
    initramfs: job.disk,
    imageDisk: job.disk,
    upperDisk: null,
    lifetime: job.lifetime,
    leaseMs: job.leaseMs,
  },
  {
    driver: "qemu",
    vmmPath: vmmPath(),
    paths: msbPaths(job.home),
    machine: { qemuPath: "/bin/sh", qemuArgs: ["-c", job.script] },
  },
);
process.stdout.write(`${JSON.stringify({ supervisor: vm.pid, vm: vm.vmPid })}\n`);
await once(process.stdin, "data");
process.stdin.destroy();
if (job.whenTold === "end") process.exit(0);
vm.release();
