/** Where a sandbox gets its microVM from: types only, so that tests can give it another one. */
import type { AgentClient } from "../agent/agent-client.js";
import type { MicroVm, SavedVm, VmConfig, VmExit } from "../hypervisor/driver.js";

/** What a sandbox needs of a `Guest`. */
export interface RunningGuest {
  readonly vm: MicroVm;
  readonly agent: AgentClient;
  /** Whoever holds it may connect to this guest's agent. */
  readonly nonce: string;
  /** Of its boot, or of its adoption: milliseconds until its process ran, and until it was ready. */
  readonly timings?: { readonly startedMs: number; readonly readyMs: number };
  stop(opts?: { readonly graceMs?: number }): Promise<VmExit>;
}

/** A guest that stands still, ready, and the nonce it had. */
export interface SavedGuest {
  readonly vm: SavedVm;
  readonly nonce: string;
}

export interface BootOpts {
  readonly hostname: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Keeps guests, and gives others that go on from there. */
export interface GuestSaving {
  /** Changes with what a guest can only go on with: the hypervisor, the kernel, the agent, the disk of its image. */
  fingerprint(imageDisk: string): Promise<string>;
  /** Boots a guest that ends with this process, lets `prepare` work in it, and keeps it. Throws as both. */
  make<T>(
    config: GuestConfig,
    prepare: (agent: AgentClient) => Promise<T>,
    opts: BootOpts,
  ): Promise<{ readonly saved: SavedGuest; readonly prepared: T }>;
  /** A detached VM, ready, as `boot` gives it. Throws as `Guest.resume`. */
  resume(saved: SavedGuest, config: GuestConfig, opts: BootOpts): Promise<RunningGuest>;
}

export interface UndecidedGuests {
  /** Lets a VM tell, and ends it. Throws as the driver's `boot`. */
  decide(config: GuestConfig, opts: { readonly signal: AbortSignal }): Promise<void>;
}

/** The rest of a VM's config is the source's own. */
export type GuestConfig = Omit<VmConfig, "initramfs" | "lifetime" | "leaseMs">;

export interface GuestSource {
  /** Boots a detached VM, ready. Throws as `Guest.boot`. */
  boot(config: GuestConfig, opts: BootOpts): Promise<RunningGuest>;
  /** Makes a guest that was booted ahead one of its own, as `GuestSaving.resume`. The one it was is of no use then. */
  claim(guest: RunningGuest, opts: BootOpts): Promise<RunningGuest>;
  /** Null where guests cannot be kept; while it is `undecided`, that may change. */
  saving(): Promise<GuestSaving | null>;
  /** Null unless only a VM can tell which hypervisor it will be. */
  undecided(): Promise<UndecidedGuests | null>;
  /** Takes over a VM that another process started. `ended`: it is gone; null where nobody knows how. */
  adopt(
    vmId: string,
    opts: { readonly nonce: string; readonly signal?: AbortSignal },
  ): Promise<RunningGuest | { readonly ended: VmExit | null }>;
  /** Ends a VM that nobody can talk to; no error when there is none. */
  destroy(vmId: string): Promise<void>;
  /** The ids of all VMs of this MSB_HOME that run now, whoever started them. */
  running(): Promise<readonly string[]>;
}
