/** Puts the drivers together: runtime components, binaries, initramfs, and the choice between them. */
import { type Env, hypervisorConfig, type HypervisorConfig } from "../config.js";
import { ensureInitramfs } from "../disk/initramfs.js";
import { agentPath, vmmPath } from "../native/binaries.js";
import { loadNative } from "../native/binding.js";
import { type MsbPaths, msbPaths } from "../paths.js";
import { findQemu } from "../runtime/qemu.js";
import { type FetchProgress, resolveRuntime } from "../runtime/resolve.js";
import { fileIdentity } from "../util/file-identity.js";
import { AutoDriver } from "./auto-driver.js";
import { isVmId } from "./check-config.js";
import type { AdoptedVm, HypervisorDriver } from "./driver.js";
import { LibkrunDriver } from "./libkrun-driver.js";
import { QemuDriver } from "./qemu-driver.js";
import { verdictKey } from "./verdict-cache.js";
import { runningVms, sweepVmFolders } from "./vm-folder.js";
import { VmProcess } from "./vm-process.js";

export interface OpenHypervisorOpts extends Partial<HypervisorConfig> {
  readonly paths?: MsbPaths;
  readonly env?: Env;
  /** Told while runtime components are fetched, which happens once. */
  readonly onProgress?: (progress: FetchProgress) => void;
  /** Told once when `auto` takes QEMU, with the reason. */
  readonly onFallback?: (reason: string) => void;
  readonly signal?: AbortSignal;
}

export interface Hypervisor {
  readonly driver: HypervisorDriver;
  readonly libkrun: HypervisorDriver;
  readonly qemu: HypervisorDriver;
  /** The archive every microVM starts from. */
  readonly initramfs: string;
  readonly paths: MsbPaths;
  readonly kernelVersion: string;
  /**
   * Takes over a VM of this MSB_HOME that another process has started, whichever driver runs it. Of one that is
   * gone it removes what is left.
   */
  adopt(vmId: string): Promise<AdoptedVm>;
  /** The ids of the VMs of this MSB_HOME that run now, whoever started them. */
  running(): Promise<readonly string[]>;
}

/**
 * Makes the drivers ready, fetching runtime components if they are missing.
 * Throws MSB_ERR_COMPONENT_*, MSB_ERR_KERNEL_INVALID, MSB_ERR_ADDON_MISSING, MSB_ERR_INVALID_ARGUMENT.
 */
export async function openHypervisor(opts: OpenHypervisorOpts = {}): Promise<Hypervisor> {
  const env = opts.env ?? process.env;
  const paths = opts.paths ?? msbPaths();
  const config = hypervisorConfig(opts, env);
  await sweepVmFolders(paths.vmRoot);
  const native = loadNative();
  const { libkrun: library, kernel } = await resolveRuntime({
    paths,
    env,
    ...(opts.onProgress ? { onProgress: opts.onProgress } : {}),
    ...(opts.signal ? { signal: opts.signal } : {}),
  });
  const common = { native, paths, vmmPath: vmmPath() };
  const libkrun = new LibkrunDriver({
    ...common,
    libkrun: library,
    kernelPath: kernel.path,
    kernelFormat: kernel.format,
  });
  const qemu = new QemuDriver({
    ...common,
    accelerator: config.qemuAccelerator,
    findQemu: () => findQemu({ env }),
    kernelPath: kernel.path,
    // Measured at the first emulated boot: it takes 20 ms that the other driver need not pay.
    tscKhz: () => native.tscKhz(),
  });
  const libraryId = "path" in library ? await fileIdentity(library.path) : "none";
  const auto = new AutoDriver({
    libkrun,
    qemu,
    verdictFile: paths.verdictFile,
    verdictKey: await verdictKey(libraryId, kernel.id),
    signOfLifeMs: config.signOfLifeMs,
    ...(opts.onFallback ? { onFallback: opts.onFallback } : {}),
  });
  return {
    driver: { auto, libkrun, qemu }[config.hypervisor],
    libkrun,
    qemu,
    initramfs: await ensureInitramfs(agentPath(), paths),
    paths,
    kernelVersion: kernel.version,
    adopt: async (vmId) => (isVmId(vmId) ? VmProcess.adopt(native, vmId, paths) : { ended: null }),
    running: () => runningVms(paths.vmRoot),
  };
}
