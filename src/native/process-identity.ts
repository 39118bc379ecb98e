/** Processes that somebody wrote down: by number and start time, so that a later one with the number is never meant. */
import { loadNative } from "./binding.js";

export interface ProcessIdentity {
  readonly pid: number;
  /** Of this boot of the host; `-` for a process that was gone already, which no process ever equals. */
  readonly startTime: string;
}

export function identityOf(pid: number): ProcessIdentity {
  return { pid, startTime: loadNative().processStartTime(pid) ?? "-" };
}

/** Is it that very process, and has it not ended? */
export function isRunning({ pid, startTime }: ProcessIdentity): boolean {
  return loadNative().processStartTime(pid) === startTime;
}
