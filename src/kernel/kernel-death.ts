/** How interpreters die, in words for those whose code ran. */
import { constants } from "node:os";
import type { ExecExit } from "../agent/messages.js";
import type { RunError } from "./run-types.js";

export interface KernelDeath {
  /** `exited`: it ended itself. */
  readonly reason: "exited" | "died";
  readonly error: RunError;
}

export function deathOf(exit: ExecExit): KernelDeath {
  if (exit.oomKilled) {
    return died("The sandbox ran out of memory, and the interpreter was killed.");
  }
  if (exit.signal !== null) {
    return died(`The interpreter was ended by ${signalName(exit.signal)}.`);
  }
  return {
    reason: "exited",
    error: runError("KernelExited", `The interpreter exited with code ${exit.exitCode ?? 0}.`),
  };
}

/** Nothing can be said to it any more, whatever it does. */
export const CONTROL_CLOSED: KernelDeath = died(
  "The interpreter closed its control channel and was killed.",
);
/** It said so, and was not gone in time. */
export const EXITED: KernelDeath = {
  reason: "exited",
  error: runError("KernelExited", "The code ended the interpreter."),
};
/** It was to die, and nobody saw it do so. */
export const KILLED: KernelDeath = died("The interpreter was killed.");

function died(value: string): KernelDeath {
  return { reason: "died", error: runError("KernelDied", value) };
}

function runError(name: string, value: string): RunError {
  return { name, value, traceback: [`${name}: ${value}`] };
}

function signalName(number: number): string {
  const known = Object.entries(constants.signals).find(([, value]) => value === number);
  return known === undefined ? `signal ${number}` : known[0];
}
