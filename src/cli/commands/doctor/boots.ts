/** `doctor --boot`: one microVM with each driver that looks able. */
import { randomBytes } from "node:crypto";
import { bootTimeoutMs } from "../../../config.js";
import { messageOf } from "../../../errors.js";
import type { HypervisorDriver } from "../../../hypervisor/driver.js";
import { type Hypervisor, openHypervisor } from "../../../hypervisor/open.js";
import { Guest } from "../../../sandbox/guest.js";
import { throwIfAborted } from "../../../util/async.js";
import type { OnProgress } from "../../../util/progress.js";
import { fetchProgress } from "../../progress/fetches.js";
import type { DoctorScope } from "./check.js";
import { chosenDriver } from "./hypervisors.js";

const MEMORY_MIB = 128;

export interface BootReport {
  readonly driver: string;
  /** `skipped`: it does not look able; `reason` says why. */
  readonly outcome: "booted" | "failed" | "skipped";
  readonly reason: string | null;
  /** Milliseconds since the boot was asked for. */
  readonly stages: readonly { readonly stage: string; readonly atMs: number }[];
  /** What confines the VM process. */
  readonly confinement: readonly string[];
}

export interface Boots {
  readonly boots: readonly BootReport[];
  /** The one that sandboxes would get; null for none. */
  readonly chosen: string | null;
}

export async function bootEach(scope: DoctorScope, onProgress: OnProgress): Promise<Boots> {
  const hypervisor = await openHypervisor({ ...scope, onProgress: fetchProgress(onProgress) });
  const boots: BootReport[] = [];
  for (const driver of [hypervisor.libkrun, hypervisor.qemu]) {
    boots.push(await tryDriver(scope, hypervisor, driver));
  }
  const chosen = await chosenDriver(hypervisor).catch(() => null);
  return { boots, chosen: chosen?.driver ?? null };
}

async function tryDriver(
  scope: DoctorScope,
  hypervisor: Pick<Hypervisor, "bootDisk">,
  driver: HypervisorDriver,
): Promise<BootReport> {
  const nothing = { driver: driver.name, stages: [], confinement: [] };
  const probe = await driver.probe();
  if (!probe.usable) return { ...nothing, outcome: "skipped", reason: probe.reason };
  try {
    return await bootOnce(scope, hypervisor, driver);
  } catch (error) {
    throwIfAborted(scope.signal, "The boot");
    return { ...nothing, outcome: "failed", reason: messageOf(error) };
  }
}

/** The disk that every VM starts from is image enough for a guest that only says that it is there. */
async function bootOnce(
  { env, signal }: DoctorScope,
  { bootDisk }: Pick<Hypervisor, "bootDisk">,
  driver: HypervisorDriver,
): Promise<BootReport> {
  const beganMs = performance.now();
  const config = {
    id: `doctor-${randomBytes(6).toString("hex")}`,
    vcpuCount: 1,
    memoryMiB: MEMORY_MIB,
    bootDisk,
    imageDisk: bootDisk,
    upperDisk: null,
    lifetime: "owner",
    leaseMs: 0,
  } as const;
  await using guest = await Guest.boot(driver, config, {
    timeoutMs: bootTimeoutMs({}, env),
    signal,
  });
  await guest.agent.ping("", { signal });
  const answeredMs = performance.now() - beganMs;
  return {
    driver: driver.name,
    outcome: "booted",
    reason: null,
    stages: [
      ...guest.vm.stages,
      { stage: "process started", atMs: Math.round(guest.timings.startedMs) },
      { stage: "guest ready", atMs: Math.round(guest.timings.readyMs) },
      { stage: "agent answered", atMs: Math.round(answeredMs) },
    ],
    confinement: guest.vm.confinement,
  };
}
