/** A server that boots a detached microVM, starts a program in it, and is killed. See adoption.test.ts. */
import { once } from "node:events";
import type { DriverName, VmConfig } from "../../src/hypervisor/driver.js";
import { openHypervisor } from "../../src/hypervisor/open.js";
import { HypervisorGuests } from "../../src/sandbox/hypervisor-guests.js";

export interface ServerJob {
  readonly driver: DriverName;
  readonly config: VmConfig;
  readonly leaseMs: number;
  readonly bootTimeoutMs: number;
  /** A shell script for the guest. */
  readonly script: string;
}

export interface ServerSays {
  readonly nonce: string;
  /** The script's stream. */
  readonly stream: number;
  readonly supervisor: number;
  readonly vm: number;
}

const job = JSON.parse(process.argv[2]!) as ServerJob;
const hypervisor = await openHypervisor();
const guests = new HypervisorGuests({
  hypervisor: { ...hypervisor, driver: hypervisor[job.driver] },
  leaseMs: job.leaseMs,
});
const guest = await guests.boot(job.config, { hostname: "box", timeoutMs: job.bootTimeoutMs });
const exec = await guest.agent.exec(["sh", "-c", job.script]);
const says: ServerSays = {
  nonce: guest.nonce,
  stream: exec.stream,
  supervisor: guest.vm.pid,
  vm: guest.vm.vmPid!,
};
process.stdout.write(`${JSON.stringify(says)}\n`);
await once(process.stdin, "data");
