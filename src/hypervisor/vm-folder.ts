/** The folder of one VM: made for it alone, found again by whoever takes the VM over, swept in the end. */
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { MsbError } from "../errors.js";
import { identityOf, isRunning, type ProcessIdentity } from "../native/process-identity.js";
import { VmmReport } from "./vmm-report.js";

/** Between the making of a folder and its pid file; longer means that the maker was killed there. */
const CLAIM_MS = 10_000;
/** How long a detached VM that has ended is kept for whoever asks how. */
const KEEP_ENDED_MS = 7 * 24 * 3600 * 1000;

/** What is in it. */
export interface VmFiles {
  readonly agentSocket: string;
  readonly consoleSocket: string;
  /** The machine protocol of a QEMU that can be saved. */
  readonly monitorSocket: string;
  /** Where a QEMU that is saved writes the state of its devices. */
  readonly stateSocket: string;
  /** Names the supervisor, so that a folder that was left behind can be told from one in use. */
  readonly pidFile: string;
  /** The supervisor's own account (native/README.md). */
  readonly reportFile: string;
}

export function vmFiles(folder: string): VmFiles {
  return {
    agentSocket: join(folder, "agent.sock"),
    consoleSocket: join(folder, "console.sock"),
    monitorSocket: join(folder, "monitor.sock"),
    stateSocket: join(folder, "state.sock"),
    pidFile: join(folder, "vmm.pid"),
    reportFile: join(folder, "report.jsonl"),
  };
}

/** Makes `folder`; throws MSB_ERR_INVALID_ARGUMENT when a VM of that name runs. */
export async function claimVmFolder(folder: string, id: string): Promise<void> {
  await mkdir(dirname(folder), { recursive: true, mode: 0o700 });
  try {
    await mkdir(folder, { mode: 0o700 });
    return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  if (await isInUse(folder)) {
    throw new MsbError(
      "MSB_ERR_INVALID_ARGUMENT",
      `id cannot be "${id}": a microVM of that name runs already. Stop it first, or choose another id.`,
      { details: { option: "id", value: id } },
    );
  }
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { mode: 0o700 });
}

/** Notes whose folder it is. */
export async function recordSupervisor(folder: string, pid: number): Promise<void> {
  const { startTime } = identityOf(pid);
  await writeFile(vmFiles(folder).pidFile, `${pid} ${startTime}\n`, { mode: 0o600 });
}

/** Whose folder it is, by its owner's note, else (the owner was killed before it) by the supervisor's own. */
export async function supervisorOf(folder: string): Promise<ProcessIdentity | undefined> {
  const { pidFile, reportFile } = vmFiles(folder);
  const note = await readFile(pidFile, "utf8").catch(() => "");
  const [, pid, startTime] = /^([1-9]\d{0,8}) (\S+)\n$/.exec(note) ?? [];
  if (pid !== undefined && startTime !== undefined) return { pid: Number(pid), startTime };
  return (await VmmReport.read(reportFile).catch(() => undefined))?.supervisor;
}

/** The names of the folders whose supervisor runs now. */
export async function runningVms(root: string): Promise<string[]> {
  const names = await readdir(root).catch(() => []);
  const found = await Promise.all(
    names.map(async (name) => {
      const supervisor = await supervisorOf(join(root, name));
      return supervisor !== undefined && isRunning(supervisor) ? [name] : [];
    }),
  );
  return found.flat();
}

export async function removeVmFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

/**
 * Removes the folders of VMs that are gone and that nobody will ask about: those that ended with their
 * owner, and detached ones that ended a week ago.
 */
export async function sweepVmFolders(root: string): Promise<void> {
  const names = await readdir(root).catch(() => []);
  for (const name of names) {
    const folder = join(root, name);
    if ((await isInUse(folder)) || (await isKept(folder))) continue;
    await removeVmFolder(folder);
  }
}

async function isInUse(folder: string): Promise<boolean> {
  const supervisor = await supervisorOf(folder);
  if (supervisor !== undefined) return isRunning(supervisor);
  return (await ageMs(folder)) < CLAIM_MS;
}

async function isKept(folder: string): Promise<boolean> {
  const { reportFile } = vmFiles(folder);
  const report = await VmmReport.read(reportFile).catch(() => undefined);
  // The last line was written at the end of the VM.
  return report?.isDetached === true && (await ageMs(reportFile)) < KEEP_ENDED_MS;
}

/** Since the last change; Infinity for what is not there. */
async function ageMs(path: string): Promise<number> {
  const info = await stat(path).catch(() => undefined);
  return info === undefined ? Infinity : Date.now() - info.mtimeMs;
}
