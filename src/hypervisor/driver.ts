/** What a hypervisor driver is: types only. */

/** A microVM, fully resolved: the driver never sees what a user asked for. */
export interface VmConfig {
  /** Names the VM's folder and sockets: letters, digits, `-` and `_`, at most 64. */
  readonly id: string;
  readonly vcpuCount: number;
  readonly memoryMiB: number;
  /** The archive the kernel starts from; it holds the agent. */
  readonly initramfs: string;
  /** The EROFS disk with the image's files, shared and read-only. */
  readonly imageDisk: string;
  /** The VM's private ext4 disk, or null for changes in memory only. */
  readonly upperDisk: string | null;
  /** `owner`: ends with this process. `detached`: outlives it. */
  readonly lifetime: "owner" | "detached";
  /** Ends the VM when nobody has been connected for so long; 0 for never. */
  readonly leaseMs: number;
}

/** Where a disk of VmConfig appears in the guest, the same on both drivers. */
export const GUEST_DEVICES = { image: "/dev/vda", upper: "/dev/vdb" } as const;

export type DriverName = "libkrun" | "qemu";

/** One stage of a boot, as msb-vmm reports it (native/README.md). */
export interface BootStage {
  readonly stage: string;
  /** Milliseconds since the supervisor started. */
  readonly atMs: number;
}

/** How a VM ended. */
export interface VmExit {
  readonly exitCode: number | null;
  readonly signal: number | null;
  /** `guest`: by itself; `stopped`: by `stop`; else what ended it. */
  readonly reason: "guest" | "stopped" | "killed" | "owner-gone" | "lease" | "failed";
  /** The last lines of the guest's console and of the VM process's standard error, safe to print. */
  readonly consoleTail: string;
  readonly stderrTail: string;
  /** What kept the VM from starting: the system call, krun_* function or config field, and its errno. */
  readonly failure?: { readonly step: string; readonly errno: number; readonly message: string };
}

export interface MicroVm extends AsyncDisposable {
  readonly id: string;
  readonly driver: DriverName;
  /** The supervisor; its end is the VM's end. */
  readonly pid: number;
  /** The VM process itself, QEMU or libkrun, whose memory and CPU time are the VM's; null before there is one. */
  readonly vmPid: number | null;
  /** The unix socket of the guest agent's channel. */
  readonly agentSocket: string;
  readonly stages: readonly BootStage[];
  /** What really confines the VM process on this host, such as `landlock` (native/README.md). */
  readonly confinement: readonly string[];
  /** Resolves at the first byte from the guest; rejects when the VM ends before that. */
  readonly alive: Promise<void>;
  /** Resolves when the VM is gone and its sockets are removed. Never rejects. */
  readonly exited: Promise<VmExit>;
  /** What the guest wrote to its console last, as it is, at most 64 KiB: hostile to a terminal. */
  consoleTail(): string;
  /** Calls `listener` with what the guest writes to its console, as it comes; returns the function that removes it. */
  onConsole(listener: (bytes: Buffer) => void): () => void;
  /** Waits `graceMs` (default 0) for the VM to end by itself, then ends it. Idempotent. */
  stop(opts?: { graceMs?: number }): Promise<VmExit>;
  /**
   * Leaves a detached VM to whoever adopts it next: it no longer keeps this process running, its console
   * is not followed, and its folder stays when it ends. Idempotent.
   */
  release(): void;
}

/** A VM that can be kept as it is. */
export interface SavableVm extends MicroVm {
  /** Ends the VM and keeps what it was. Throws MSB_ERR_SNAPSHOT_FAILED; it is ended then, too. */
  save(opts?: { readonly signal?: AbortSignal }): Promise<SavedVm>;
}

/** A VM that stands still: open files without names, which end with this process, or when it is disposed of. */
export interface SavedVm extends Disposable {
  /** What its copies cannot differ in. */
  readonly config: Pick<VmConfig, "vcpuCount" | "memoryMiB" | "initramfs" | "imageDisk">;
  /** What of the host's memory it takes. */
  readonly memoryBytes: number;
  /** Writes its private disk, as it was then, to a new file. Throws MSB_ERR_NO_SPACE. */
  copyUpperDisk(path: string): Promise<void>;
}

/** Keeping VMs, and going on from them, any number of times. */
export interface VmSaving {
  /** Changes with the hypervisor and the guest's kernel: a VM goes on with those that it was saved with, and no others. */
  fingerprint(): Promise<string>;
  /** As the driver's `boot`. The config's disk is one that is saved, too, and its lifetime is the owner's. */
  boot(config: VmConfig, opts?: { signal?: AbortSignal }): Promise<SavableVm>;
  /**
   * Starts a VM that goes on where `saved` stood; its private disk is a copy of that. Throws as the driver's `boot`,
   * MSB_ERR_SNAPSHOT_FAILED, and MSB_ERR_INVALID_ARGUMENT for a config that differs.
   */
  resume(saved: SavedVm, config: VmConfig, opts?: { signal?: AbortSignal }): Promise<MicroVm>;
}

/** What is found of a VM that another process started: the VM, or how it ended, null where nobody knows. */
export type AdoptedVm = MicroVm | { readonly ended: VmExit | null };

/** Can this driver work here? If not, `reason` says what was tried and what to do. */
export type DriverProbe =
  | { readonly usable: true; readonly facts: Readonly<Record<string, unknown>> }
  | {
      readonly usable: false;
      readonly code:
        | "MSB_ERR_KVM_UNAVAILABLE"
        | "MSB_ERR_LIBKRUN_MISSING"
        | "MSB_ERR_LIBKRUN_INVALID"
        | "MSB_ERR_QEMU_MISSING";
      readonly reason: string;
      readonly facts: Readonly<Record<string, unknown>>;
    };

export interface HypervisorDriver {
  readonly name: DriverName;
  /** A cheap look that boots nothing. */
  probe(): Promise<DriverProbe>;
  /**
   * Starts a VM; resolves when its process runs, before the guest is up. An aborted `signal` ends
   * the VM as long as boot has not resolved. Throws MSB_ERR_INVALID_ARGUMENT, MSB_ERR_DISK_*,
   * MSB_ERR_BOOT_FAILED and what `probe` would say.
   */
  boot(config: VmConfig, opts?: { signal?: AbortSignal }): Promise<MicroVm>;
  /** Null where VMs cannot be saved; while it is `undecided`, that may change. */
  saving(): Promise<VmSaving | null>;
  /** Null unless only a VM can tell which hypervisor it will be. */
  undecided(): Promise<UndecidedDriver | null>;
}

export interface UndecidedDriver {
  /** Lets a VM tell, and ends it. Throws as the driver's `boot`. */
  decide(config: VmConfig, opts?: { signal?: AbortSignal }): Promise<void>;
}
