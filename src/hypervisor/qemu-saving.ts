/**
 * Saved VMs of QEMU: the memory is a file in memory that both share, sealed once the VM has ended; the state of the
 * devices is a second one. A VM that goes on maps the memory privately, so all of them share what none has written to.
 */
import * as fs from "node:fs";
import { diskNotFound } from "../disk/disk-error.js";
import { messageOf, MsbError } from "../errors.js";
import type { NativeBinding } from "../native/binding.js";
import { abortable, throwIfAborted } from "../util/async.js";
import { LinkedAbort } from "../util/linked-abort.js";
import type { MicroVm, SavableVm, SavedVm, VmConfig, VmSaving } from "./driver.js";
import { type QemuPurpose, STATE_FD } from "./qemu-args.js";
import { QemuMonitor } from "./qemu-monitor.js";
import { different, SavedFiles, SavedQemuVm } from "./qemu-saved-vm.js";
import { StateReceiver } from "./qemu-state.js";
import type { VmProcess } from "./vm-process.js";

const MIB = 1024 ** 2;
const TIMEOUT_MS = 30_000;
const SAME = ["vcpuCount", "memoryMiB", "initramfs", "imageDisk"] as const;

export interface StartQemuOpts {
  readonly files?: readonly number[];
  readonly signal?: AbortSignal;
}

export type StartQemu = (
  config: VmConfig,
  purpose: QemuPurpose,
  opts: StartQemuOpts,
) => Promise<VmProcess>;

/** What of its driver it uses. */
export interface QemuStarter {
  /** Throws what is wrong with a config; `start` does the same. */
  readonly check: (config: VmConfig) => Promise<void>;
  readonly start: StartQemu;
  readonly fingerprint: () => Promise<string>;
}

export class QemuSaving implements VmSaving {
  constructor(
    private readonly native: NativeBinding,
    private readonly qemu: QemuStarter,
  ) {}

  fingerprint(): Promise<string> {
    return this.qemu.fingerprint();
  }

  async boot(config: VmConfig, opts: { signal?: AbortSignal } = {}): Promise<SavableVm> {
    const disk = requireDisk(config);
    // Before there are files of that size, of that path.
    await this.qemu.check(config);
    const files = new SavedFiles(this.native);
    try {
      const memory = files.add(this.native.createMemoryFile(config.memoryMiB * MIB));
      files.add(openDisk(disk));
      const vm = await this.qemu.start(config, "save", { ...opts, files: [memory] });
      void vm.exited.then(() => {
        if (!files.isSaved) files[Symbol.dispose]();
      });
      const save = (how: { signal?: AbortSignal } = {}): Promise<SavedVm> =>
        saveVm(vm, config, files, how.signal);
      return Object.assign(vm, { save });
    } catch (error) {
      files[Symbol.dispose]();
      throw error;
    }
  }

  async resume(
    saved: SavedVm,
    config: VmConfig,
    opts: { signal?: AbortSignal } = {},
  ): Promise<MicroVm> {
    if (!(saved instanceof SavedQemuVm)) throw different("saved", "it is none of this driver's");
    for (const option of SAME) {
      if (saved.config[option] === config[option]) continue;
      throw different(option, `the saved microVM has ${saved.config[option]}`);
    }
    requireDisk(config);
    const state = saved.openState();
    let vm: VmProcess;
    try {
      vm = await this.qemu.start(config, "resume", { ...opts, files: [saved.memory, state] });
    } finally {
      fs.closeSync(state);
    }
    return inTime(vm, "go on from a saved one", opts.signal, async (signal) => {
      await enterState(vm, signal);
      return vm;
    });
  }
}

/** From here on it runs, or it ends, and says why. */
async function enterState(vm: VmProcess, signal: AbortSignal): Promise<void> {
  using monitor = await QemuMonitor.connect(vm.files.monitorSocket, signal);
  await shareMemory(monitor, signal);
  await monitor.execute("migrate-incoming", { uri: `fd:${STATE_FD}` }, signal);
}

/**
 * Memory that is shared with a file is there already, and left out of the state (QEMU's documentation of migration
 * calls the capability so).
 */
async function shareMemory(monitor: QemuMonitor, signal: AbortSignal): Promise<void> {
  const capabilities = ["x-ignore-shared", "events"].map((capability) => ({
    capability,
    state: true,
  }));
  await monitor.execute("migrate-set-capabilities", { capabilities }, signal);
}

async function saveVm(
  vm: VmProcess,
  config: VmConfig,
  files: SavedFiles,
  signal: AbortSignal | undefined,
): Promise<SavedVm> {
  const { native } = files;
  if (files.isSaved) throw different("vm", "it was saved before");
  files.isSaved = true;
  try {
    return await inTime(vm, "be saved", signal, async (bounded) => {
      const state = await saveState(vm, bounded);
      files.add(native.createMemoryFile(0));
      fs.writeSync(files.state, state, 0, state.length, 0);
      native.sealMemoryFile(files.state);
      // Only when QEMU has let go of it.
      native.sealMemoryFile(files.memory);
      return new SavedQemuVm(config, files);
    });
  } catch (error) {
    files[Symbol.dispose]();
    throw error;
  }
}

/** The result of `work`. When that fails or takes too long the VM is ended: MSB_ERR_SNAPSHOT_FAILED, MSB_ERR_ABORTED. */
async function inTime<T>(
  vm: VmProcess,
  what: string,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  using either = new LinkedAbort(signal);
  const late = new Error(`QEMU took longer than ${TIMEOUT_MS} ms`);
  const timer = setTimeout(() => either.abort(late), TIMEOUT_MS);
  try {
    return await work(either.signal);
  } catch (error) {
    const { stderrTail } = await vm.stop();
    throwIfAborted(signal, "The microVM");
    const cause = either.signal.aborted ? late : error;
    const words = stderrTail === "" ? "" : ` Its last words:\n${stderrTail}`;
    throw new MsbError(
      "MSB_ERR_SNAPSHOT_FAILED",
      `The microVM ${vm.id} could not ${what}: ${messageOf(cause).replace(/\.$/, "")}.${words}`,
      { cause, details: { id: vm.id } },
    );
  } finally {
    clearTimeout(timer);
  }
}

/** The state of the devices; the VM has ended when it is there. */
async function saveState(vm: VmProcess, signal: AbortSignal): Promise<Buffer> {
  const { monitorSocket, stateSocket } = vm.files;
  using monitor = await QemuMonitor.connect(monitorSocket, signal);
  using receiver = new StateReceiver(stateSocket);
  await abortable(receiver.listening, signal, "The save");
  await shareMemory(monitor, signal);
  const settled = monitor.event(
    ({ name, data }) =>
      name === "MIGRATION" && (data["status"] === "completed" || data["status"] === "failed"),
    signal,
  );
  // What fails before it is awaited says the same.
  settled.catch(() => {});
  // Not stopped before: what is saved is a VM that runs.
  await monitor.execute("migrate", { uri: `unix:${stateSocket}` }, signal);
  const { data } = await settled;
  if (data["status"] !== "completed") {
    const info = (await monitor.execute("query-migrate", {}, signal)) as { "error-desc"?: string };
    throw new Error(
      `QEMU could not write its state: ${info["error-desc"] ?? "it gives no reason"}`,
    );
  }
  const state = await abortable(receiver.state, signal, "The save");
  await vm.stop();
  return state;
}

function requireDisk({ upperDisk }: VmConfig): string {
  if (upperDisk !== null) return upperDisk;
  throw different("upperDisk", "changes in memory only cannot be saved");
}

/** Throws MSB_ERR_DISK_NOT_FOUND, though it was looked at a moment ago. */
function openDisk(path: string): number {
  try {
    return fs.openSync(path, "r");
  } catch (error) {
    throw diskNotFound(path, error);
  }
}
