/** One msb-vmm: starts it or takes it over, follows its report and the guest's console, ends it. */
import { constants } from "node:os";
import { MsbError } from "../errors.js";
import type { MicroVmHandle, NativeBinding, NativeError } from "../native/binding.js";
import { deferred, settlesWithin, throwIfAborted } from "../util/async.js";
import type { MsbPaths } from "../paths.js";
import { ConsoleFollower } from "./console-follower.js";
import type { AdoptedVm, BootStage, DriverName, MicroVm, VmConfig, VmExit } from "./driver.js";
import type { ProcessIdentity } from "../native/process-identity.js";
import { vmExitError } from "./exit-error.js";
import { vmDisks } from "./vm-disks.js";
import {
  claimVmFolder,
  recordSupervisor,
  removeVmFolder,
  supervisorOf,
  type VmFiles,
  vmFiles,
} from "./vm-folder.js";
import { type SupervisorStatus, VmmReport } from "./vmm-report.js";

/** The channels of a VM; the order is that of the supervisor's file descriptors. Every VM has the first two. */
const CHANNELS = ["agent", "console", "monitor"] as const;
/** How long the supervisor may take to end its VM after SIGTERM before it is killed, too. */
const SUPERVISOR_GRACE_MS = 2_000;

export interface VmProcessOpts {
  readonly driver: DriverName;
  readonly vmmPath: string;
  readonly paths: MsbPaths;
  /** What the driver adds to the supervisor's config (native/README.md). */
  readonly machine: Readonly<Record<string, unknown>>;
  /** With a channel for the hypervisor's own protocol. Default false. */
  readonly hasMonitor?: boolean;
  /** Open files that the VM process inherits behind its channels. */
  readonly files?: readonly number[];
}

export class VmProcess implements MicroVm {
  readonly agentSocket: string;
  readonly alive: Promise<void>;
  readonly exited: Promise<VmExit>;
  readonly #alive = deferred<void>();
  readonly #exited = deferred<VmExit>();
  readonly #entered = deferred<void>();
  readonly #files: VmFiles;
  #console!: ConsoleFollower;
  #handle!: MicroVmHandle;
  /** Filled line by line, or read from the supervisor's file when another process got the lines. */
  #report = new VmmReport();
  #isAdopted = false;
  #isStopping = false;
  #isReleased = false;

  private constructor(
    readonly id: string,
    readonly driver: DriverName,
    private readonly folder: string,
  ) {
    this.#files = vmFiles(folder);
    this.agentSocket = this.#files.agentSocket;
    this.alive = this.#alive.promise;
    this.exited = this.#exited.promise;
    // Both are looked at by some callers only.
    this.alive.catch(() => {});
    this.#entered.promise.catch(() => {});
  }

  /** Resolves when the VM process has entered the hypervisor. Throws MSB_ERR_BOOT_FAILED with the stage. */
  static async start(
    native: NativeBinding,
    config: VmConfig,
    opts: VmProcessOpts & { readonly signal?: AbortSignal },
  ): Promise<VmProcess> {
    const { signal } = opts;
    throwIfAborted(signal, "The boot");
    const vm = new VmProcess(config.id, opts.driver, opts.paths.vmDir(config.id));
    const vmmConfig = supervisorConfig(config, opts);
    await native.checkVmConfig(vmmConfig).catch((cause: unknown) => {
      throw startError(vm, "config", cause);
    });
    await claimVmFolder(vm.folder, config.id);
    try {
      vm.#spawn(native, vmmConfig, config, opts);
      await recordSupervisor(vm.folder, vm.pid);
    } catch (cause) {
      await vm.#abandonStart();
      throw startError(vm, "spawn", cause);
    }
    const onAbort = (): void => void vm.stop();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      await vm.#entered.promise;
    } catch (error) {
      await vm.exited;
      throwIfAborted(signal, "The boot");
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
    return vm;
  }

  /**
   * Takes over the VM `id` that another process has started. One that is gone leaves its folder until
   * then: how it ended is read from there, and the folder is removed. Throws MSB_ERR_PLATFORM_UNSUPPORTED on a
   * system that cannot watch other processes.
   */
  static async adopt(native: NativeBinding, id: string, paths: MsbPaths): Promise<AdoptedVm> {
    const folder = paths.vmDir(id);
    const { reportFile } = vmFiles(folder);
    const supervisor = await supervisorOf(folder);
    const handle = supervisor === undefined ? null : watchSupervisor(native, id, supervisor);
    // After the look at the process: what is gone has written all it will.
    const report = await VmmReport.read(reportFile);
    if (handle !== null) {
      // Without a driver it has not even read its config, and will say at its end why.
      const vm = new VmProcess(id, report?.driver ?? "qemu", folder);
      vm.#takeOver(handle, report);
      return vm;
    }
    await removeVmFolder(folder);
    return { ended: report?.describeExit() ?? null };
  }

  /** What the VM was given, while it runs. */
  get files(): VmFiles {
    return this.#files;
  }

  get pid(): number {
    return this.#handle.pid;
  }

  get vmPid(): number | null {
    return this.#report.vmPid;
  }

  get stages(): readonly BootStage[] {
    return this.#report.stages;
  }

  get confinement(): readonly string[] {
    return this.#report.confinement;
  }

  consoleTail(): string {
    return this.#console.tail();
  }

  onConsole(listener: (bytes: Buffer) => void): () => void {
    return this.#console.onData(listener);
  }

  async stop(opts: { graceMs?: number } = {}): Promise<VmExit> {
    const { graceMs = 0 } = opts;
    if (graceMs > 0 && (await settlesWithin(this.exited, graceMs))) return this.exited;
    this.#isStopping = true;
    this.#handle.kill("SIGTERM");
    if (!(await settlesWithin(this.exited, SUPERVISOR_GRACE_MS))) this.#handle.kill("SIGKILL");
    return this.exited;
  }

  release(): void {
    this.#isReleased = true;
    this.#handle.release();
    this.#console.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #spawn(native: NativeBinding, vmmConfig: string, config: VmConfig, opts: VmProcessOpts): void {
    const { agentSocket, consoleSocket, monitorSocket, reportFile } = this.#files;
    const sockets = { agent: agentSocket, console: consoleSocket, monitor: monitorSocket };
    this.#handle = native.bootMicroVm(
      {
        vmmPath: opts.vmmPath,
        config: vmmConfig,
        channels: channelsOf(opts).map((name) => ({ name, socketPath: sockets[name] })),
        ...(opts.files === undefined ? {} : { files: opts.files }),
        detached: config.lifetime === "detached",
        reportPath: reportFile,
      },
      (line) => this.#hear(line),
    );
    this.#follow();
  }

  #takeOver(handle: MicroVmHandle, report: VmmReport | undefined): void {
    this.#handle = handle;
    this.#isAdopted = true;
    this.#report = report ?? this.#report;
    this.#entered.resolve();
    this.#follow();
    if (this.#report.has("alive")) this.#alive.resolve();
    else this.#console.onData(() => this.#alive.resolve());
  }

  #follow(): void {
    // The supervisor's sockets listen from before it starts, so nothing of the console is missed.
    this.#console = new ConsoleFollower(this.#files.consoleSocket);
    void this.#handle.exited.then((status) => this.#ended(status));
  }

  async #abandonStart(): Promise<void> {
    if (this.#handle !== undefined) await this.stop();
    else await removeVmFolder(this.folder);
  }

  #hear(text: string): void {
    if (this.#report.isFull) {
      this.#handle.kill("SIGKILL");
      return;
    }
    const line = this.#report.take(text);
    if (line?.stage === "entering") this.#entered.resolve();
    else if (line?.stage === "alive") this.#alive.resolve();
  }

  async #ended(status: SupervisorStatus): Promise<void> {
    await this.#console.drain();
    if (this.#isAdopted) {
      const report = await VmmReport.read(this.#files.reportFile).catch(() => undefined);
      this.#report = report ?? this.#report;
    }
    const exit = this.#report.describeExit({
      status,
      isStopping: this.#isStopping,
      consoleTail: this.consoleTail(),
    });
    const error = vmExitError(this, exit);
    this.#entered.reject(error);
    this.#alive.reject(error);
    if (!this.#isReleased) await removeVmFolder(this.folder).catch(() => {});
    this.#exited.resolve(exit);
  }
}

function channelsOf({ hasMonitor = false }: VmProcessOpts): readonly (typeof CHANNELS)[number][] {
  return hasMonitor ? CHANNELS : CHANNELS.slice(0, 2);
}

function supervisorConfig(config: VmConfig, opts: VmProcessOpts): string {
  return JSON.stringify({
    driver: opts.driver,
    detached: config.lifetime === "detached",
    leaseMs: config.leaseMs,
    vcpuCount: config.vcpuCount,
    memoryMiB: config.memoryMiB,
    channels: channelsOf(opts),
    disks: vmDisks(config),
    ...(opts.files === undefined ? {} : { fileCount: opts.files.length }),
    ...opts.machine,
  });
}

function watchSupervisor(
  native: NativeBinding,
  id: string,
  { pid, startTime }: ProcessIdentity,
): MicroVmHandle | null {
  try {
    return native.watchMicroVm(pid, startTime);
  } catch (cause) {
    const { message, errno, operation } = cause as NativeError;
    const isMissing = errno === constants.errno.ENOSYS;
    throw new MsbError(
      isMissing ? "MSB_ERR_PLATFORM_UNSUPPORTED" : "MSB_ERR_INTERNAL",
      `The supervisor of the microVM ${id} (process ${pid}) cannot be watched: ${operation}: ${message}.` +
        (isMissing ? " This needs Linux 5.3 or later." : ""),
      { cause, details: { id, pid, errno: errno ?? null } },
    );
  }
}

function startError(vm: Pick<MicroVm, "id" | "driver">, step: string, cause: unknown): MsbError {
  const native = cause as { message?: string; errno?: number; operation?: string };
  const stage = native.operation ?? step;
  return new MsbError(
    "MSB_ERR_BOOT_FAILED",
    `The microVM ${vm.id} (${vm.driver}) could not be started: ${stage}: ${native.message}.`,
    { cause, details: { id: vm.id, driver: vm.driver, stage, errno: native.errno ?? null } },
  );
}
