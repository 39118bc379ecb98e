/** `doctor --boot`: one microVM with each driver that looks able. */
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { bootTimeoutMs } from "../../../config.js";
import { writeEmptyImage } from "../../../disk/empty-image.js";
import { messageOf } from "../../../errors.js";
import type { HypervisorDriver, VmConfig } from "../../../hypervisor/driver.js";
import { type Hypervisor, openHypervisor } from "../../../hypervisor/open.js";
import { Guest } from "../../../sandbox/guest.js";
import { throwIfAborted } from "../../../util/async.js";
import { tempName } from "../../../util/atomic-file.js";
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

type DoctorHypervisor = Pick<Hypervisor, "initramfs" | "paths">;

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
  hypervisor: DoctorHypervisor,
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

/** A guest that only says that it is there needs no files. */
async function bootOnce(
  scope: DoctorScope,
  { initramfs, paths }: DoctorHypervisor,
  driver: HypervisorDriver,
): Promise<BootReport> {
  const imageDisk = paths.tempFile(tempName("doctor-image"));
  try {
    await writeEmptyImage(imageDisk);
    return await bootWith(scope, driver, { initramfs, imageDisk });
  } finally {
    await rm(imageDisk, { force: true });
  }
}

async function bootWith(
  { env, signal }: DoctorScope,
  driver: HypervisorDriver,
  files: Pick<VmConfig, "initramfs" | "imageDisk">,
): Promise<BootReport> {
  const beganMs = performance.now();
  const config = {
    id: `doctor-${randomBytes(6).toString("hex")}`,
    vcpuCount: 1,
    memoryMiB: MEMORY_MIB,
    ...files,
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
