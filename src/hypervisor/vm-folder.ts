/** The folder of one VM: made for it alone, and taken over from a VM whose owner was killed. */
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { MsbError } from "../errors.js";
import { isSameProcess, startTime } from "../util/pid.js";

/** Names the supervisor, so that a folder that was left behind can be told from one in use. */
const PID_FILE = "vmm.pid";
/** Between the making of a folder and its pid file; longer means that the maker was killed there. */
const CLAIM_MS = 10_000;

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
  await writeFile(join(folder, PID_FILE), `${pid} ${await startTime(pid)}\n`, { mode: 0o600 });
}

/** Removes the folders of VMs that are gone: those whose owner was killed before it could. */
export async function sweepVmFolders(root: string): Promise<void> {
  const names = await readdir(root).catch(() => []);
  for (const name of names) {
    const folder = join(root, name);
    if (!(await isInUse(folder))) await rm(folder, { recursive: true, force: true });
  }
}

async function isInUse(folder: string): Promise<boolean> {
  const text = await readFile(join(folder, PID_FILE), "utf8").catch(() => undefined);
  if (text === undefined) {
    const info = await stat(folder).catch(() => undefined);
    return info !== undefined && Date.now() - info.mtimeMs < CLAIM_MS;
  }
  const [pid, started = ""] = text.trim().split(" ");
  return isSameProcess(Number(pid), started);
}
