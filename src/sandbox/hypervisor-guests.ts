/** The microVMs of a server: detached, so that the next server finds them when this one is killed. */
import { isMsbError } from "../errors.js";
import type { VmExit } from "../hypervisor/driver.js";
import type { Hypervisor } from "../hypervisor/open.js";
import { Guest } from "./guest.js";
import type { GuestConfig, GuestSource } from "./guest-source.js";

export interface HypervisorGuestsOpts {
  readonly hypervisor: Pick<Hypervisor, "driver" | "bootDisk" | "adopt" | "running">;
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

  async boot(
    config: GuestConfig,
    opts: { readonly hostname: string; readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Guest> {
    const { driver, bootDisk } = this.#hypervisor;
    const detached = { lifetime: "detached", leaseMs: this.#leaseMs } as const;
    return Guest.boot(driver, { ...config, ...detached, bootDisk }, opts);
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
}
