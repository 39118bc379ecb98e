/** What a process has used and what memory is left, as the host's kernel tells it. */
import { readFile } from "node:fs/promises";
import { freemem, totalmem } from "node:os";

export interface HostMemory {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** Free is what programs could have without swapping (MemAvailable). */
export function readHostMemory(): HostMemory {
  return { freeBytes: freemem(), totalBytes: totalmem() };
}

export interface ProcessUsage {
  /** Of all its threads since it began, in user and kernel mode. */
  readonly cpuMs: number;
  /** Since it began. */
  readonly ageMs: number;
  readonly residentBytes: number;
}

export type ReadProcessUsage = (pid: number) => Promise<ProcessUsage | null>;

/** USER_HZ is 100 on every Linux that Node.js runs on. */
const MS_PER_TICK = 10;

/** null where there is no /proc, or no such process any more. */
export const readProcessUsage: ReadProcessUsage = async (pid) => {
  try {
    const [stat, status, uptime] = await Promise.all([
      readFile(`/proc/${pid}/stat`, "latin1"),
      readFile(`/proc/${pid}/status`, "latin1"),
      readFile("/proc/uptime", "latin1"),
    ]);
    return parseUsage(stat, status, uptime);
  } catch {
    return null;
  }
};

/**
 * proc(5): utime, stime and starttime are fields 14, 15 and 22 of stat, VmRSS is in kB and does not depend on the size
 * of a page, and uptime begins with the seconds since the boot.
 */
export function parseUsage(stat: string, status: string, uptime: string): ProcessUsage | null {
  // The name of the program may have blanks and parentheses in it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const cpuMs = (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
  const ageMs = parseFloat(uptime) * 1000 - Number(fields[19]) * MS_PER_TICK;
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (!Number.isFinite(cpuMs) || !Number.isFinite(ageMs) || kibibytes === undefined) return null;
  return { cpuMs, ageMs, residentBytes: Number(kibibytes) * 1024 };
}
