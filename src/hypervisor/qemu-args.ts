/** The command line of QEMU for a VM: the microvm machine, whose memory may be that of a saved VM. */
import type { QemuAccelerator } from "../config.js";
import type { VmConfig } from "./driver.js";
import { kernelCommandLine } from "./kernel-command-line.js";
import { vmDisks } from "./vm-disks.js";

/** Where QEMU finds its channels, in the order of `VmProcess`, and the files that it inherits. */
const AGENT_FD = 3;
const CONSOLE_FD = 4;
const MONITOR_FD = 5;
const MEMORY_FD = 6;
export const STATE_FD = 7;

/**
 * Without nested virtualisation, which the guest's kernel would set up at every boot (150 ms). QEMU then also leaves out
 * the CPUID leaves up to that of SVM, by which programs know the sizes of caches, so the last one is named.
 *
 * Nor with fast `rep movsb`: the emulation does one byte after the other, and kernel and libc would copy with it, where
 * they have loops of eight bytes and more.
 */
const EMULATED_CPU = "max,svm=off,xlevel=0x8000000a,erms=off,fsrm=off";

export interface QemuMachine {
  readonly accelerator: QemuAccelerator;
  /** The guest kernel as a PVH ELF file. */
  readonly kernelPath: string;
  /** The host's TSC rate for emulated guests, or null where there is none. */
  readonly tscKhz: number | null;
}

/**
 * What the VM has to do with saved ones. `save` has its memory in the first inherited file; `resume` begins with what is
 * in that, and waits to be told that its state is in the second. Both have a monitor.
 */
export type QemuPurpose = "boot" | "save" | "resume";

export function qemuArgs(config: VmConfig, machine: QemuMachine, purpose: QemuPurpose): string[] {
  const isEmulated = machine.accelerator === "tcg";
  const tscKhz = isEmulated ? machine.tscKhz : null;
  const backend = purpose === "boot" ? "" : ",memory-backend=ram";
  const args = [
    ["-M", `microvm,acpi=off${backend}`],
    // One thread for all vCPUs: with one each, a kernel that patches its own code now and then runs
    // into a half-patched instruction of another vCPU (measured: a panic in sched_clock_cpu at boot).
    ["-accel", isEmulated ? "tcg,thread=single" : machine.accelerator],
    ["-cpu", isEmulated ? EMULATED_CPU : "host"],
    ["-m", `${config.memoryMiB}`],
    ["-smp", `${config.vcpuCount}`],
    ["-nodefaults", "-no-user-config", "-no-reboot"],
    ["-display", "none"],
    ["-kernel", machine.kernelPath],
    ["-initrd", config.initramfs],
    ["-append", kernelCommandLine({ reboot: "t", isEmulated, tscKhz })],
    ["-chardev", `socket,id=agent,fd=${AGENT_FD}`],
    ["-chardev", `socket,id=console,fd=${CONSOLE_FD}`],
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
    savingArgs(config, purpose),
  ];
  return args.flat();
}

function savingArgs({ memoryMiB }: VmConfig, purpose: QemuPurpose): string[] {
  if (purpose === "boot") return [];
  // A sealed file cannot be mapped to be shared; a private mapping gets copies of the pages it writes to.
  const share = purpose === "save" ? "on" : "off";
  const memory = `size=${memoryMiB}M,mem-path=/proc/self/fd/${MEMORY_FD},share=${share}`;
  return [
    ...["-object", `memory-backend-file,id=ram,${memory}`],
    ...["-chardev", `socket,id=monitor,fd=${MONITOR_FD}`, "-mon", "chardev=monitor,mode=control"],
    ...(purpose === "resume" ? ["-incoming", "defer"] : []),
  ];
}
