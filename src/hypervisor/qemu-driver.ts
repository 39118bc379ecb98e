/** The driver for hosts without usable hardware virtualisation: QEMU's microvm machine. */
import { isMsbError } from "../errors.js";
import type { NativeBinding } from "../native/binding.js";
import type { QemuAccelerator } from "../config.js";
import type { MsbPaths } from "../paths.js";
import { fileIdentity } from "../util/file-identity.js";
import { checkVmConfig } from "./check-config.js";
import type { DriverProbe, HypervisorDriver, MicroVm, VmConfig, VmSaving } from "./driver.js";
import { qemuArgs, type QemuPurpose } from "./qemu-args.js";
import { QemuSaving, type StartQemuOpts } from "./qemu-saving.js";
import { VmProcess } from "./vm-process.js";

/** More vCPUs than this only slow an emulated guest down. */
const MAX_VCPUS = 64;

export interface QemuDriverOpts {
  readonly native: NativeBinding;
  readonly paths: MsbPaths;
  readonly vmmPath: string;
  readonly accelerator: QemuAccelerator;
  /** Finds QEMU, or throws MSB_ERR_QEMU_MISSING. */
  readonly findQemu: () => Promise<{ path: string; version: string }>;
  /** The guest kernel as a PVH ELF file. */
  readonly kernelPath: string;
  /** The host's TSC rate for emulated guests, or null where there is none. */
  readonly tscKhz: () => number | null;
}

export class QemuDriver implements HypervisorDriver {
  readonly name = "qemu";
  readonly #opts: QemuDriverOpts;

  constructor(opts: QemuDriverOpts) {
    this.#opts = opts;
  }

  async probe(): Promise<DriverProbe> {
    try {
      const qemu = await this.#opts.findQemu();
      return { usable: true, facts: { ...qemu, accelerator: this.#opts.accelerator } };
    } catch (error) {
      if (!isMsbError(error, "MSB_ERR_QEMU_MISSING")) throw error;
      return {
        usable: false,
        code: "MSB_ERR_QEMU_MISSING",
        reason: error.message,
        facts: error.details,
      };
    }
  }

  async boot(config: VmConfig, opts: { signal?: AbortSignal } = {}): Promise<MicroVm> {
    return this.#start(config, "boot", opts);
  }

  /** For emulated VMs, whose boots take long. */
  async saving(): Promise<VmSaving | null> {
    const { accelerator, native } = this.#opts;
    if (accelerator !== "tcg" || process.platform !== "linux") return null;
    return new QemuSaving(native, {
      check: checkConfig,
      start: (config, purpose, opts) => this.#start(config, purpose, opts),
      fingerprint: () => this.#fingerprint(),
    });
  }

  async undecided(): Promise<null> {
    return null;
  }

  /** The program may be replaced while this process runs. Throws MSB_ERR_QEMU_MISSING. */
  async #fingerprint(): Promise<string> {
    const { findQemu, kernelPath } = this.#opts;
    const { path, version } = await findQemu();
    const files = await Promise.all([path, kernelPath].map(fileIdentity));
    return [version, ...files].join("\n");
  }

  async #start(config: VmConfig, purpose: QemuPurpose, opts: StartQemuOpts): Promise<VmProcess> {
    const { native, paths, vmmPath, accelerator, kernelPath, tscKhz } = this.#opts;
    await checkConfig(config);
    const qemu = await this.#opts.findQemu();
    const machine = { accelerator, kernelPath, tscKhz: tscKhz() };
    return VmProcess.start(native, config, {
      ...opts,
      driver: this.name,
      vmmPath,
      paths,
      machine: { qemuPath: qemu.path, qemuArgs: qemuArgs(config, machine, purpose) },
      hasMonitor: purpose !== "boot",
    });
  }
}

function checkConfig(config: VmConfig): Promise<void> {
  return checkVmConfig(config, { maxVcpus: MAX_VCPUS });
}
