/** A guest that is booted to be kept: what it prepared, and then itself. */
import type { AgentClient } from "../agent/agent-client.js";
import { MsbError } from "../errors.js";
import type { SavableVm, VmConfig, VmSaving } from "../hypervisor/driver.js";
import { Guest } from "./guest.js";
import type { BootOpts, SavedGuest } from "./guest-source.js";

/**
 * How far its clock is behind. Random number generators of programs (OpenSSL 1.1.1 and 3: an hour, `RAND_DRBG(7)`) seed
 * themselves anew when the time has leapt, so those of its copies do, too.
 */
const CLOCK_LAG_MS = 24 * 3600 * 1000;

/** Throws as `Guest.boot`, as `prepare`, and MSB_ERR_SNAPSHOT_FAILED. */
export async function saveGuest<T>(
  saving: Pick<VmSaving, "boot">,
  config: VmConfig,
  prepare: (agent: AgentClient) => Promise<T>,
  opts: BootOpts,
): Promise<{ readonly saved: SavedGuest; readonly prepared: T }> {
  let vm: SavableVm | undefined;
  const driver = {
    boot: async (...args: Parameters<VmSaving["boot"]>) => (vm = await saving.boot(...args)),
  };
  const clockMs = Date.now() - CLOCK_LAG_MS;
  await using guest = await Guest.boot(driver, config, { ...opts, clockMs });
  const prepared = await prepare(guest.agent);
  if (vm === undefined) throw new MsbError("MSB_ERR_INTERNAL", "The guest has no microVM.");
  guest.agent.close();
  const signal = opts.signal === undefined ? {} : { signal: opts.signal };
  return { saved: { vm: await vm.save(signal), nonce: guest.nonce }, prepared };
}
