/** What the end of a VM that nobody asked for means to its sandbox. */
import type { VmExit } from "../hypervisor/driver.js";
import type { SandboxFailure, SandboxState } from "./service.js";
import type { NewEvent } from "./sandbox.js";

export interface VmEnd {
  readonly state: Extract<SandboxState, "stopped" | "failed">;
  readonly failure: SandboxFailure;
  readonly event: NewEvent;
}

/**
 * A guest that powers itself off is `stopped`, with the failure as the reason; every other end is `failed`. A guest
 * kernel that panics restarts the machine, which looks like a power-off to all but the console.
 */
export function vmEnd(exit: VmExit | null, at: string): VmEnd {
  const isPowerOff =
    exit?.reason === "guest" &&
    exit.exitCode === 0 &&
    !exit.consoleTail.includes("Kernel panic - not syncing");
  const state = isPowerOff ? "stopped" : "failed";
  const message = isPowerOff
    ? "The guest powered itself off."
    : `The microVM ended: ${howItEnded(exit)}.${lastWords(exit)}`;
  const details =
    exit === null ? {} : { reason: exit.reason, exitCode: exit.exitCode, signal: exit.signal };
  return {
    state,
    failure: { code: "MSB_ERR_VM_EXITED", message, at },
    event: { type: state, message, details },
  };
}

const REASONS: Readonly<Record<VmExit["reason"], string>> = {
  guest: "the guest ended it",
  stopped: "it was stopped",
  killed: "something else killed it",
  "owner-gone": "its owner was gone",
  lease: "no server was connected to it for as long as its lease",
  failed: "its hypervisor failed",
};

function howItEnded(exit: VmExit | null): string {
  if (exit === null) return "nobody knows how, no server was there to see it";
  const how = exit.signal === null ? `status ${exit.exitCode}` : `signal ${exit.signal}`;
  const failure =
    exit.failure === undefined ? "" : `, ${exit.failure.step}: ${exit.failure.message}`;
  return `${REASONS[exit.reason]} (${how}${failure})`;
}

function lastWords(exit: VmExit | null): string {
  const words = [exit?.stderrTail, exit?.consoleTail].filter(Boolean).join("\n");
  return words === "" ? "" : ` Its last words:\n${words}`;
}
