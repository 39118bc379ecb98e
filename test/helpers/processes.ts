/** Processes of this machine, for tests that must leave none behind. */
import { readdir, readFile } from "node:fs/promises";

/** True while a process with this id exists and is no zombie. */
export async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => null);
  return stat !== null && !stat.slice(stat.lastIndexOf(")")).startsWith(") Z");
}

/** The children of a process. */
export async function childrenOf(pid: number): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    if (parent === pid) found.push(Number(name));
  }
  return found.toSorted((a, b) => a - b);
}
