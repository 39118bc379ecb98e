/** The microVMs of a server: detached, so that the next server finds them when this one is killed. */
import { isMsbError } from "../errors.js";
import { fileIdentity } from "../util/file-identity.js";
import type { VmConfig, VmExit } from "../hypervisor/driver.js";
import type { Hypervisor } from "../hypervisor/open.js";
import { Guest } from "./guest.js";
import type {
  BootOpts,
  GuestConfig,
  GuestSaving,
  GuestSource,
  RunningGuest,
  UndecidedGuests,
} from "./guest-source.js";
import { saveGuest } from "./save-guest.js";

export interface HypervisorGuestsOpts {
  readonly hypervisor: Pick<Hypervisor, "driver" | "initramfs" | "adopt" | "running">;
  /** How long a VM waits for the next server before it ends; 0: for ever. */
  readonly leaseMs: number;
}

export class HypervisorGuests implements GuestSource {
  readonly #hypervisor: HypervisorGuestsOpts["hypervisor"];
  readonly #leaseMs: number;

  constructor(opts: HypervisorGuestsOpts) {
    this.#hypervisor = opts.hypervisor;
    this.#leaseMs = opts.leaseMs;
  }

  async boot(config: GuestConfig, opts: BootOpts): Promise<Guest> {
    return Guest.boot(this.#hypervisor.driver, this.#detached(config), opts);
  }

  async claim(guest: RunningGuest, opts: BootOpts): Promise<Guest> {
    return Guest.claim(guest, opts);
  }

  async saving(): Promise<GuestSaving | null> {
    const { driver, initramfs } = this.#hypervisor;
    const saving = await driver.saving();
    if (saving === null) return null;
    return {
      // The archive holds the agent, and is named after what is in it.
      fingerprint: async (imageDisk) =>
        [await saving.fingerprint(), initramfs, await diskIdentity(imageDisk)].join("\n"),
      make: async (config, prepare, opts) => saveGuest(saving, this.#owned(config), prepare, opts),
      resume: (saved, config, opts) => Guest.resume(saving, saved, this.#detached(config), opts),
    };
  }

  async undecided(): Promise<UndecidedGuests | null> {
    const undecided = await this.#hypervisor.driver.undecided();
    if (undecided === null) return null;
    return { decide: (config, opts) => undecided.decide(this.#owned(config), opts) };
  }

  /** Throws as `Guest.adopt`; the VM then still runs, for `destroy`. */
  async adopt(
    vmId: string,
    opts: { readonly nonce: string; readonly signal?: AbortSignal },
  ): Promise<Guest | { readonly ended: VmExit | null }> {
    const vm = await this.#hypervisor.adopt(vmId);
    if ("ended" in vm) return vm;
    try {
      return await Guest.adopt(vm, opts);
    } catch (error) {
      if (isMsbError(error, "MSB_ERR_VM_EXITED") || isMsbError(error, "MSB_ERR_BOOT_FAILED"))
        return { ended: await vm.exited };
      vm.release();
      throw error;
    }
  }

  async destroy(vmId: string): Promise<void> {
    const vm = await this.#hypervisor.adopt(vmId);
    if (!("ended" in vm)) await vm.stop();
  }

  running(): Promise<readonly string[]> {
    return this.#hypervisor.running();
  }

  /** Ends with this process. */
  #owned(config: GuestConfig): VmConfig {
    const { initramfs } = this.#hypervisor;
    return { ...config, initramfs, lifetime: "owner", leaseMs: 0 };
  }

  #detached(config: GuestConfig): VmConfig {
    const { initramfs } = this.#hypervisor;
    return { ...config, initramfs, lifetime: "detached", leaseMs: this.#leaseMs };
  }
}

/** A prune may take the disk away, and what is made anew is another file. */
async function diskIdentity(path: string): Promise<string> {
  return fileIdentity(path).catch(() => `${path} is not there`);
}
