/** What a process has used, as the host's kernel tells it. */
import { readFile } from "node:fs/promises";

export interface ProcessUsage {
  /** Of all its threads since it began, in user and kernel mode. */
  readonly cpuMs: number;
  readonly residentBytes: number;
}

export type ReadProcessUsage = (pid: number) => Promise<ProcessUsage | null>;

/** USER_HZ of every Linux that Node.js runs on. */
const TICKS_PER_SECOND = 100;

/** null where there is no /proc, or no such process any more. */
export const readProcessUsage: ReadProcessUsage = async (pid) => {
  try {
    const [stat, status] = await Promise.all([
      readFile(`/proc/${pid}/stat`, "latin1"),
      readFile(`/proc/${pid}/status`, "latin1"),
    ]);
    return parseUsage(stat, status);
  } catch {
    return null;
  }
};

/** proc(5): utime and stime are fields 14 and 15 of stat, VmRSS is in kB and does not depend on the size of a page. */
export function parseUsage(stat: string, status: string): ProcessUsage | null {
  // The name of the program may have blanks and parentheses in it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]);
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (!Number.isFinite(ticks) || kibibytes === undefined) return null;
  return { cpuMs: (ticks * 1000) / TICKS_PER_SECOND, residentBytes: Number(kibibytes) * 1024 };
}
