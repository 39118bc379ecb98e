/** The main driver: libkrun on KVM (Linux) or Hypervisor.framework (macOS). */
import { MsbError } from "../errors.js";
import type { HostProbe, NativeBinding } from "../native/binding.js";
import type { MsbPaths } from "../paths.js";
import { checkVmConfig } from "./check-config.js";
import type { DriverProbe, HypervisorDriver, MicroVm, VmConfig } from "./driver.js";
import { kernelCommandLine } from "./kernel-command-line.js";
import { VmProcess } from "./vm-process.js";

/** libkrun takes the count as one byte. */
const MAX_VCPUS = 255;

export interface LibkrunDriverOpts {
  readonly native: NativeBinding;
  readonly paths: MsbPaths;
  readonly vmmPath: string;
  /** The library, or why there is none. */
  readonly libkrun: { readonly path: string } | { readonly missing: MsbError };
  readonly kernelPath: string;
  readonly kernelFormat: "elf" | "raw";
}

export class LibkrunDriver implements HypervisorDriver {
  readonly name = "libkrun";
  readonly #opts: LibkrunDriverOpts;

  constructor(opts: LibkrunDriverOpts) {
    this.#opts = opts;
  }

  async probe(): Promise<DriverProbe> {
    const { libkrun, native } = this.#opts;
    if ("missing" in libkrun) {
      return {
        usable: false,
        code: "MSB_ERR_LIBKRUN_MISSING",
        reason: libkrun.missing.message,
        facts: {},
      };
    }
    return judgeHost(await native.probeHost({ libkrunPath: libkrun.path }));
  }

  /** libkrun has no snapshots. */
  async saving(): Promise<null> {
    return null;
  }

  async undecided(): Promise<null> {
    return null;
  }

  async boot(config: VmConfig, opts: { signal?: AbortSignal } = {}): Promise<MicroVm> {
    const { libkrun, native, paths, vmmPath, kernelPath, kernelFormat } = this.#opts;
    if ("missing" in libkrun) throw libkrun.missing;
    const host = await native.probeHost({ libkrunPath: libkrun.path });
    const verdict = judgeHost(host);
    if (!verdict.usable)
      throw new MsbError(verdict.code, verdict.reason, { details: verdict.facts });
    await checkVmConfig(config, {
      maxVcpus: Math.min(host.libkrun?.maxVcpus ?? MAX_VCPUS, MAX_VCPUS),
    });
    return VmProcess.start(native, config, {
      ...opts,
      driver: this.name,
      vmmPath,
      paths,
      machine: {
        libkrunPath: libkrun.path,
        kernelPath,
        kernelFormat,
        initramfsPath: config.initramfs,
        kernelCommandLine: kernelCommandLine({ reboot: "k" }),
      },
    });
  }
}

/** The cheap part of the verdict: what can be known without booting. */
export function judgeHost(host: HostProbe): DriverProbe {
  const facts = { ...host };
  const no = (
    code: "MSB_ERR_KVM_UNAVAILABLE" | "MSB_ERR_LIBKRUN_INVALID",
    reason: string,
  ): DriverProbe => ({ usable: false, code, reason, facts });
  const library = host.libkrun;
  if (library === null || !library.ok) {
    return no(
      "MSB_ERR_LIBKRUN_INVALID",
      `libkrun at ${library?.path ?? "(none)"} cannot be used: ${library?.error ?? "not loaded"}. ` +
        "Unset MSB_LIBKRUN_PATH to use the pinned library, or install what is missing.",
    );
  }
  if (!library.blkFeature) {
    return no(
      "MSB_ERR_LIBKRUN_INVALID",
      `libkrun at ${library.path} was built without block devices (BLK=1).`,
    );
  }
  if (host.platform === "darwin") {
    return host.hvf === true
      ? { usable: true, facts }
      : no(
          "MSB_ERR_KVM_UNAVAILABLE",
          "This Mac has no Hypervisor.framework (sysctl kern.hv_support is 0).",
        );
  }
  const { kvm, cpuFlags } = host;
  if (!kvm.devicePresent) {
    return no(
      "MSB_ERR_KVM_UNAVAILABLE",
      "There is no /dev/kvm: enable virtualisation in the firmware and load the module kvm_intel or kvm_amd, " +
        "or use --hypervisor qemu.",
    );
  }
  if (kvm.openErrno !== null) {
    return no(
      "MSB_ERR_KVM_UNAVAILABLE",
      `/dev/kvm cannot be opened (errno ${kvm.openErrno}): add your user to the group kvm and log in again, ` +
        "or use --hypervisor qemu.",
    );
  }
  if (kvm.createVmErrno !== null) {
    return no(
      "MSB_ERR_KVM_UNAVAILABLE",
      `KVM cannot create a VM (errno ${kvm.createVmErrno}); use --hypervisor qemu.`,
    );
  }
  if (host.arch === "x64" && !cpuFlags.vmx && !cpuFlags.svm) {
    return no(
      "MSB_ERR_KVM_UNAVAILABLE",
      "/dev/kvm is there, but the CPU shows neither vmx nor svm: this KVM runs paravirtual guests only. " +
        "Enable nested virtualisation, or use --hypervisor qemu.",
    );
  }
  return { usable: true, facts };
}
