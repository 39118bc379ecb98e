/** One guest that runs ahead of its sandbox, on a disk that has no place yet. */
import { rename, rm } from "node:fs/promises";
import type { KernelsSnapshot } from "../kernel/kernels.js";
import { tempName } from "../util/atomic-file.js";
import type { BootOpts, RunningGuest } from "./guest-source.js";
import type { SandboxDeps } from "./manager-opts.js";
import type { TemplateSpec } from "./head-start.js";
import { configOf, type MakeGuestOpts, prepareGuest } from "./template.js";
import { WarmSteps } from "./warm-steps.js";

const MIB = 1024 ** 2;

export interface WarmGuest {
  readonly spec: TemplateSpec;
  readonly vmId: string;
  readonly kernels: KernelsSnapshot;
  /** Resolves when its VM has ended. */
  readonly ended: Promise<unknown>;
  /** To where the sandbox has it. The VM has it open, and goes on. */
  moveDisk(path: string): Promise<void>;
  /** The guest as one of its own. Throws as `GuestSource.claim`; it has ended then. */
  claim(opts: BootOpts): Promise<RunningGuest>;
  /** With its disk, unless that was moved. Never throws. */
  end(): Promise<void>;
}

/** Throws what each step throws; leaves nothing behind then. */
export async function makeWarmGuest(
  vmId: string,
  spec: TemplateSpec,
  deps: SandboxDeps,
  { signal, onProgress }: MakeGuestOpts,
): Promise<WarmGuest> {
  const steps = new WarmSteps(onProgress);
  steps.begin("boot");
  // Its name says whose it is: should this process be killed, others sweep it, and the VM, which no record names.
  const upperDisk = deps.paths.tempFile(tempName("warm-disk"));
  const removeDisk = (): Promise<void> => rm(upperDisk, { force: true });
  let guest: RunningGuest | undefined;
  try {
    await deps.makeUpperDisk(upperDisk, { sizeBytes: spec.diskMiB * MIB, signal });
    const how = { hostname: "ready", timeoutMs: deps.bootTimeoutMs, signal };
    guest = await deps.guests.boot(configOf(spec, { id: vmId, upperDisk }), how);
    steps.begin("warm-up");
    const kernels = await prepareGuest(guest.agent, spec, deps, signal);
    steps.end();
    return warmGuest(guest, { spec, kernels, upperDisk, removeDisk, deps });
  } catch (error) {
    await guest?.stop({ graceMs: 0 }).catch(() => {});
    await removeDisk();
    throw error;
  }
}

function warmGuest(
  guest: RunningGuest,
  parts: {
    readonly spec: TemplateSpec;
    readonly kernels: KernelsSnapshot;
    readonly upperDisk: string;
    readonly removeDisk: () => Promise<void>;
    readonly deps: SandboxDeps;
  },
): WarmGuest {
  const { spec, kernels, upperDisk, removeDisk, deps } = parts;
  return {
    spec,
    kernels,
    vmId: guest.vm.id,
    ended: guest.vm.exited,
    moveDisk: (path) => rename(upperDisk, path),
    claim: (opts) => deps.guests.claim(guest, opts),
    end: async () => {
      await guest.vm.stop();
      await removeDisk().catch(() => {});
    },
  };
}
