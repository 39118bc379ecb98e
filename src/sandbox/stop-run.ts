/** The end of a run that somebody asked for. */
import { messageOf } from "../errors.js";
import type { GuestSource } from "./guest-source.js";
import type { RunningSandbox } from "./running-sandbox.js";
import type { Sandbox } from "./sandbox.js";

export interface StopRunOpts {
  readonly graceMs?: number;
  /** Completes "The sandbox is stopped …". */
  readonly why: string;
  readonly guests: Pick<GuestSource, "destroy">;
}

/** Resolves when the VM is gone and its disks are free. */
export async function stopRun(
  sandbox: Sandbox,
  running: RunningSandbox,
  opts: StopRunOpts,
): Promise<void> {
  const { id } = running.guest.vm;
  sandbox.change("stopping", {}, { type: "stopping", message: `The sandbox stops ${opts.why}.` });
  await sandbox.saveOrWarn();
  try {
    await running.stop(opts.graceMs);
  } catch (error) {
    const message = `The microVM ${id} did not stop (${messageOf(error)}) and is ended.`;
    sandbox.event({ type: "stop-forced", message, details: { vm: id } });
    // If that fails, too, the reaper tries again: no record names this VM any more.
    await opts.guests.destroy(id).catch(() => {});
  }
  sandbox.running = null;
  const stopped = { type: "stopped", message: `The sandbox is stopped ${opts.why}.` };
  const at = sandbox.nowIso();
  sandbox.change("stopped", { vm: null, kernels: null, stoppedAt: at, failure: null }, stopped);
  await sandbox.saveOrWarn();
}
