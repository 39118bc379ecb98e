/** Which processes there are, and their memory, as Linux tells it; all in MiB. */
import { readdirSync, readFileSync } from "node:fs";

/** In the order in which they were started. */
export function childrenOf(pid) {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && parentOf(name) === pid)
    .map(Number)
    .toSorted((a, b) => a - b);
}

/** The VM of each supervisor is its only child. */
export function vmOf(supervisor) {
  const [vm] = childrenOf(supervisor);
  if (vm === undefined) throw new Error(`the supervisor ${supervisor} has no VM`);
  return vm;
}

export function rssMiB(pid) {
  return statusMiB(pid, "VmRSS");
}

/** The most it has had at any time. */
export function peakRssMiB(pid) {
  return statusMiB(pid, "VmHWM");
}

/** `pss`: each shared page divided by those that share it. */
export function memoryOf(pid) {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return { rss: mib(text, "Rss"), pss: mib(text, "Pss") };
}

/**
 * What would be free if the process alone ended. Pages that a VM maps privately are its template's until it has written
 * to them, also where nobody else maps them now.
 */
export function ownMiB(pid) {
  return readFileSync(`/proc/${pid}/smaps`, "utf8")
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .filter((mapping) => mapping !== "")
    .reduce((sum, mapping) => sum + ownOf(mapping), 0);
}

function ownOf(mapping) {
  const [head] = mapping.split("\n", 1);
  const isTemplates = /^\S+ ...p .*msb-memory/.test(head);
  if (isTemplates) return mib(mapping, "Anonymous");
  return mib(mapping, "Private_Clean") + mib(mapping, "Private_Dirty");
}

function parentOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name before it is in parentheses, and may have any of its own.
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    // It has ended meanwhile.
    return undefined;
  }
}

function statusMiB(pid, field) {
  return mib(readFileSync(`/proc/${pid}/status`, "utf8"), field);
}

function mib(text, field) {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)[1]) / 1024;
}
