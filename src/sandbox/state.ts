/** Which state of a sandbox may follow which; nothing here remembers anything. */
import { MsbError } from "../errors.js";
import type { SandboxState } from "./service.js";

/**
 * `creating`: image and disk are prepared. `booting`: a VM may exist. A start that is called off before there is a VM
 * goes from `creating` to `stopped`; a VM that ends unasked goes from `running` to `failed`, or to `stopped` when the
 * guest powered itself off.
 */
const NEXT: Readonly<Record<SandboxState, readonly SandboxState[]>> = {
  creating: ["booting", "stopped", "failed"],
  booting: ["running", "stopping", "failed"],
  running: ["stopping", "stopped", "failed"],
  stopping: ["stopped", "failed"],
  stopped: ["creating"],
  failed: ["creating"],
};

export function canFollow(from: SandboxState, to: SandboxState): boolean {
  return NEXT[from].includes(to);
}

/** Throws MSB_ERR_INTERNAL: to get here is a mistake of ours. */
export function checkChange(from: SandboxState, to: SandboxState): void {
  if (canFollow(from, to)) return;
  throw new MsbError("MSB_ERR_INTERNAL", `A sandbox that is ${from} cannot become ${to}.`, {
    details: { from, to },
  });
}

/** Counts against the budget once it was admitted: it has, or is about to have, a VM. */
export function isActive(state: SandboxState): boolean {
  return state !== "stopped" && state !== "failed";
}
