/** Refuses a VmConfig that cannot work on this host, before anything is started. */
import { totalmem } from "node:os";
import { checkErofsDisk, checkExt4Disk, checkInitramfs } from "../disk/check-disk.js";
import { MsbError } from "../errors.js";
import type { VmConfig } from "./driver.js";

/** Below this the guest kernel and the agent do not start. */
const MIN_MEMORY_MIB = 64;
/** What is left to the host when a single VM asks for all of its memory. */
const HOST_RESERVE_MIB = 128;

/** Can it name a VM, and with it a folder? */
export function isVmId(id: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(id);
}

/** Throws MSB_ERR_INVALID_ARGUMENT naming the option, MSB_ERR_DISK_NOT_FOUND or MSB_ERR_DISK_INVALID. */
export async function checkVmConfig(config: VmConfig, limits: { maxVcpus: number }): Promise<void> {
  if (!isVmId(config.id)) {
    throw invalid("id", config.id, "use letters, digits, '-' and '_', at most 64");
  }
  if (
    !Number.isInteger(config.vcpuCount) ||
    config.vcpuCount < 1 ||
    config.vcpuCount > limits.maxVcpus
  ) {
    throw invalid("vcpuCount", config.vcpuCount, `use a whole number from 1 to ${limits.maxVcpus}`);
  }
  const maxMemoryMiB = Math.floor(totalmem() / 1024 ** 2) - HOST_RESERVE_MIB;
  const { memoryMiB } = config;
  if (!Number.isInteger(memoryMiB) || memoryMiB < MIN_MEMORY_MIB || memoryMiB > maxMemoryMiB) {
    throw invalid(
      "memoryMiB",
      memoryMiB,
      `use a whole number from ${MIN_MEMORY_MIB} to ${maxMemoryMiB} on this host`,
    );
  }
  if (!Number.isInteger(config.leaseMs) || config.leaseMs < 0) {
    throw invalid("leaseMs", config.leaseMs, "use a number of milliseconds, or 0 for no lease");
  }
  await checkInitramfs(config.initramfs);
  await checkErofsDisk(config.imageDisk);
  if (config.upperDisk !== null) await checkExt4Disk(config.upperDisk);
}

function invalid(option: string, value: unknown, advice: string): MsbError {
  return new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    `${option} cannot be ${JSON.stringify(value)}: ${advice}.`,
    {
      details: { option, value },
    },
  );
}
