/** The driver for hosts without usable hardware virtualisation: QEMU's microvm machine. */
import { isMsbError } from "../errors.js";
import type { NativeBinding } from "../native/binding.js";
import type { QemuAccelerator } from "../config.js";
import type { MsbPaths } from "../paths.js";
import { checkVmConfig } from "./check-config.js";
import type { DriverProbe, HypervisorDriver, MicroVm, VmConfig } from "./driver.js";
import { kernelCommandLine } from "./kernel-command-line.js";
import { vmDisks } from "./vm-disks.js";
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
    const { native, paths, vmmPath } = this.#opts;
    await checkVmConfig(config, { maxVcpus: MAX_VCPUS });
    const qemu = await this.#opts.findQemu();
    return VmProcess.start(native, config, {
      ...opts,
      driver: this.name,
      vmmPath,
      paths,
      machine: { qemuPath: qemu.path, qemuArgs: this.#args(config) },
    });
  }

  #args(config: VmConfig): string[] {
    const { accelerator, kernelPath, tscKhz } = this.#opts;
    const isEmulated = accelerator === "tcg";
    const args = [
      ["-M", "microvm,acpi=off"],
      // One thread for all vCPUs: with one each, a kernel that patches its own code now and then runs
      // into a half-patched instruction of another vCPU (measured: a panic in sched_clock_cpu at boot).
      ["-accel", isEmulated ? "tcg,thread=single" : accelerator],
      ["-cpu", isEmulated ? "max" : "host"],
      ["-m", `${config.memoryMiB}`],
      ["-smp", `${config.vcpuCount}`],
      ["-nodefaults", "-no-user-config", "-no-reboot"],
      ["-display", "none"],
      ["-kernel", kernelPath],
      ["-append", kernelCommandLine({ reboot: "t", tscKhz: isEmulated ? tscKhz() : null })],
      // The supervisor hands QEMU connected sockets as fd 3 and 4, in the order of CHANNELS.
      ["-chardev", "socket,id=agent,fd=3", "-chardev", "socket,id=console,fd=4"],
      ["-device", "virtio-serial-device"],
      ["-device", "virtconsole,chardev=console"],
      ["-device", "virtserialport,chardev=agent,name=msb-agent"],
      ...vmDisks(config).map((disk) => [
        "-drive",
        `id=${disk.id},if=none,format=raw,file=${disk.path.replaceAll(",", ",,")},` +
          (disk.readOnly ? "readonly=on,file.locking=off" : "cache=writeback,discard=unmap"),
        "-device",
        `virtio-blk-device,drive=${disk.id}`,
      ]),
    ];
    return args.flat();
  }
}
