/** Process ids that were written down by somebody else. */
import { readFile } from "node:fs/promises";

/** Is there a process with this id? It may be another one than was meant. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Tells a process from a later one with the same id; `-` where the system does not say. */
export async function startTime(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // Field 22 of proc_pid_stat(5); the name in parentheses may hold spaces.
  return text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? "-";
}

/** Is the process that had this id and start time still there? */
export async function isSameProcess(pid: number, started: string): Promise<boolean> {
  return Number.isInteger(pid) && pid > 0 && isAlive(pid) && (await startTime(pid)) === started;
}
