/**
 * Saved VMs of QEMU: the memory is a file in memory that both share, sealed once the VM has ended; the state of the
 * devices is a second one. A VM that goes on maps the memory privately, so all of them share what none has written to.
 */
import * as fs from "node:fs";
import { createServer } from "node:net";
import { messageOf, MsbError } from "../errors.js";
import type { NativeBinding } from "../native/binding.js";
import { abortable } from "../util/async.js";
import { spaceError } from "../disk/disk-error.js";
import type { MicroVm, SavableVm, SavedVm, VmConfig, VmSaving } from "./driver.js";
import { type QemuPurpose, STATE_FD } from "./qemu-args.js";
import { QemuMonitor } from "./qemu-monitor.js";
import type { VmProcess } from "./vm-process.js";

const MIB = 1024 ** 2;
/** Of the devices; measured: below 100 KiB. */
const MAX_STATE_BYTES = 16 * MIB;
const TIMEOUT_MS = 30_000;
const SAME = ["vcpuCount", "memoryMiB", "bootDisk", "imageDisk"] as const;

export interface StartQemuOpts {
  readonly files?: readonly number[];
  readonly signal?: AbortSignal;
}

export type StartQemu = (
  config: VmConfig,
  purpose: QemuPurpose,
  opts: StartQemuOpts,
) => Promise<VmProcess>;

export class QemuSaving implements VmSaving {
  constructor(
    private readonly native: NativeBinding,
    private readonly start: StartQemu,
  ) {}

  async boot(config: VmConfig, opts: { signal?: AbortSignal } = {}): Promise<SavableVm> {
    const files = new SavedFiles(this.native);
    try {
      const memory = files.add(this.native.createMemoryFile(config.memoryMiB * MIB));
      files.add(fs.openSync(requireDisk(config), "r"));
      const vm = await this.start(config, "save", { ...opts, files: [memory] });
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
    let vm: VmProcess | undefined;
    try {
      vm = await this.start(config, "resume", { ...opts, files: [saved.memory, state] });
      await enterState(vm, opts.signal);
      return vm;
    } catch (error) {
      await vm?.stop();
      throw error;
    } finally {
      fs.closeSync(state);
    }
  }
}

/** The open files of a saved VM: memory, private disk, state. */
class SavedFiles implements Disposable {
  readonly #fds: number[] = [];
  isSaved = false;

  constructor(readonly native: NativeBinding) {}

  add(fd: number): number {
    this.#fds.push(fd);
    return fd;
  }

  get memory(): number {
    return this.#fds[0]!;
  }

  get disk(): number {
    return this.#fds[1]!;
  }

  get state(): number {
    return this.#fds[2]!;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds.splice(0)) fs.closeSync(fd);
  }
}

class SavedQemuVm implements SavedVm {
  readonly memoryBytes: number;
  #isDisposed = false;

  constructor(
    readonly config: VmConfig,
    private readonly files: SavedFiles,
  ) {
    // Empty pages take nothing.
    this.memoryBytes = fs.fstatSync(files.memory).blocks * 512;
  }

  get memory(): number {
    return this.files.memory;
  }

  /** With a position of its own. The caller closes it. */
  openState(): number {
    this.#check();
    return fs.openSync(`/proc/self/fd/${this.files.state}`, "r");
  }

  async copyUpperDisk(path: string): Promise<void> {
    this.#check();
    try {
      await this.files.native.cloneSparse(`/proc/self/fd/${this.files.disk}`, path);
    } catch (error) {
      throw spaceError(error, path, fs.fstatSync(this.files.disk).size);
    }
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.files[Symbol.dispose]();
  }

  #check(): void {
    if (this.#isDisposed) throw different("saved", "it was disposed of");
  }
}

/** From here on it runs, or it ends, and says why. */
async function enterState(vm: VmProcess, signal: AbortSignal | undefined): Promise<void> {
  const bounded = withTimeout(signal);
  using monitor = await QemuMonitor.connect(vm.files.monitorSocket, bounded);
  await shareMemory(monitor, bounded);
  await monitor.execute("migrate-incoming", { uri: `fd:${STATE_FD}` }, bounded);
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

function withTimeout(signal: AbortSignal | undefined): AbortSignal {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  return signal === undefined ? limit : AbortSignal.any([signal, limit]);
}

async function saveVm(
  vm: VmProcess,
  config: VmConfig,
  files: SavedFiles,
  signal: AbortSignal | undefined,
): Promise<SavedVm> {
  const { native } = files;
  files.isSaved = true;
  try {
    const state = await saveState(vm, withTimeout(signal));
    files.add(native.createMemoryFile(0));
    fs.writeSync(files.state, state, 0, state.length, 0);
    native.sealMemoryFile(files.state);
    // Only when QEMU has let go of it.
    native.sealMemoryFile(files.memory);
    return new SavedQemuVm(config, files);
  } catch (error) {
    await vm.stop();
    files[Symbol.dispose]();
    if (error instanceof MsbError) throw error;
    throw new MsbError(
      "MSB_ERR_SNAPSHOT_FAILED",
      `The microVM ${vm.id} could not be saved: ${messageOf(error)}.`,
      { cause: error, details: { id: vm.id } },
    );
  }
}

/** The state of the devices; the VM has ended when it is there. */
async function saveState(vm: VmProcess, signal: AbortSignal): Promise<Buffer> {
  const { monitorSocket, stateSocket } = vm.files;
  using monitor = await QemuMonitor.connect(monitorSocket, signal);
  using receiver = new StateReceiver(stateSocket);
  await abortable(receiver.listening, signal, "Saving the microVM");
  await shareMemory(monitor, signal);
  const settled = monitor.event(
    ({ name, data }) =>
      name === "MIGRATION" && (data["status"] === "completed" || data["status"] === "failed"),
    signal,
  );
  // Not stopped before: what is saved is a VM that runs.
  await monitor.execute("migrate", { uri: `unix:${stateSocket}` }, signal);
  const { data } = await settled;
  if (data["status"] !== "completed") {
    const info = (await monitor.execute("query-migrate", {}, signal)) as { "error-desc"?: string };
    throw new Error(
      `QEMU could not write its state: ${info["error-desc"] ?? "it gives no reason"}`,
    );
  }
  const state = await abortable(receiver.state, signal, "Saving the microVM");
  await vm.stop();
  return state;
}

/** Takes what one QEMU writes. */
class StateReceiver implements Disposable {
  readonly listening: Promise<void>;
  readonly state: Promise<Buffer>;
  readonly #server = createServer();

  constructor(path: string) {
    this.listening = new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(path, resolve);
    });
    this.state = new Promise((resolve, reject) => {
      this.#server.once("connection", (socket) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        socket.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_STATE_BYTES) socket.destroy(new Error("its state is too large"));
          else chunks.push(chunk);
        });
        socket.on("end", () => resolve(Buffer.concat(chunks)));
        socket.on("error", reject);
      });
    });
    this.state.catch(() => {});
  }

  [Symbol.dispose](): void {
    this.#server.close();
  }
}

function requireDisk({ upperDisk }: VmConfig): string {
  if (upperDisk !== null) return upperDisk;
  throw different("upperDisk", "changes in memory only cannot be saved");
}

function different(option: string, why: string): MsbError {
  return new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    `${option} cannot be this for a saved microVM: ${why}.`,
    { details: { option } },
  );
}
