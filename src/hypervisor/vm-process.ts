/** One msb-vmm: starts it, follows its report and the guest's console, ends it. Both drivers use it. */
import { rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { MsbError } from "../errors.js";
import type { MicroVmHandle, NativeBinding } from "../native/binding.js";
import { deferred, settlesWithin, throwIfAborted } from "../util/async.js";
import { printable } from "../util/printable.js";
import { RingBuffer } from "../util/ring-buffer.js";
import type { MsbPaths } from "../paths.js";
import type { BootStage, DriverName, MicroVm, VmConfig, VmExit } from "./driver.js";
import { vmExitError } from "./exit-error.js";
import { vmDisks } from "./vm-disks.js";
import { claimVmFolder, recordSupervisor } from "./vm-folder.js";

/** The channels of every VM; the order is that of the supervisor's file descriptors. */
export const CHANNELS = ["agent", "console"] as const;
const CONSOLE_TAIL_BYTES = 65_536;
/** Of the console and of standard error in errors and VmExit. */
const ERROR_TAIL_LINES = 20;
/** A boot has about ten. */
const MAX_REPORT_LINES = 64;
/** How long the supervisor may take to end its VM after SIGTERM before it is killed, too. */
const SUPERVISOR_GRACE_MS = 2_000;
/** How long the console may take to deliver its last bytes after the VM has gone. */
const CONSOLE_DRAIN_MS = 1_000;

export interface VmProcessOpts {
  readonly driver: DriverName;
  readonly vmmPath: string;
  readonly paths: MsbPaths;
  /** What the driver adds to the supervisor's config (native/README.md). */
  readonly machine: Readonly<Record<string, unknown>>;
}

/** One line of the supervisor's report. */
interface ReportLine {
  readonly stage: string;
  readonly atMs: number;
  readonly step?: string;
  readonly errno?: number;
  readonly message?: string;
  readonly exitCode?: number;
  readonly signal?: number;
  readonly reason?: string;
  readonly stderrTail?: string;
  readonly confinement?: readonly string[];
}

export class VmProcess implements MicroVm {
  readonly id: string;
  readonly driver: DriverName;
  readonly agentSocket: string;
  readonly stages: BootStage[] = [];
  confinement: readonly string[] = [];
  readonly alive: Promise<void>;
  readonly exited: Promise<VmExit>;
  readonly #alive = deferred<void>();
  readonly #exited = deferred<VmExit>();
  readonly #entered = deferred<void>();
  readonly #console = new RingBuffer(CONSOLE_TAIL_BYTES);
  readonly #consoleEnded = deferred<void>();
  readonly #vmDir: string;
  #consoleSocket: Socket | undefined;
  #handle!: MicroVmHandle;
  #failure: ReportLine | undefined;
  #ending: ReportLine | undefined;
  #isStopping = false;

  private constructor(config: VmConfig, opts: VmProcessOpts) {
    this.id = config.id;
    this.driver = opts.driver;
    this.#vmDir = opts.paths.vmDir(config.id);
    this.agentSocket = join(this.#vmDir, "agent.sock");
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
    const vm = new VmProcess(config, opts);
    const vmmConfig = supervisorConfig(config, opts);
    await native.checkVmConfig(vmmConfig).catch((cause: unknown) => {
      throw startError(vm, "config", cause);
    });
    await claimVmFolder(vm.#vmDir, config.id);
    try {
      vm.#spawn(native, { vmmPath: opts.vmmPath, config: vmmConfig, lifetime: config.lifetime });
      await recordSupervisor(vm.#vmDir, vm.pid);
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

  get pid(): number {
    return this.#handle.pid;
  }

  consoleTail(): string {
    return this.#console.toString();
  }

  async stop(opts: { graceMs?: number } = {}): Promise<VmExit> {
    const { graceMs = 0 } = opts;
    if (graceMs > 0 && (await settlesWithin(this.exited, graceMs))) return this.exited;
    this.#isStopping = true;
    this.#handle.kill("SIGTERM");
    if (!(await settlesWithin(this.exited, SUPERVISOR_GRACE_MS))) this.#handle.kill("SIGKILL");
    return this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #spawn(
    native: NativeBinding,
    opts: { vmmPath: string; config: string; lifetime: VmConfig["lifetime"] },
  ): void {
    const socketPath = (name: string): string => join(this.#vmDir, `${name}.sock`);
    this.#handle = native.bootMicroVm(
      {
        vmmPath: opts.vmmPath,
        config: opts.config,
        channels: CHANNELS.map((name) => ({ name, socketPath: socketPath(name) })),
        detached: opts.lifetime === "detached",
      },
      (line) => this.#report(line),
    );
    // The supervisor's sockets listen from before it starts, so nothing of the console is missed.
    this.#followConsole(socketPath("console"));
    void this.#handle.exited.then((status) => this.#ended(status));
  }

  async #abandonStart(): Promise<void> {
    if (this.#handle !== undefined) await this.stop();
    else await rm(this.#vmDir, { recursive: true, force: true });
  }

  #followConsole(path: string): void {
    const socket = connect({ path });
    this.#consoleSocket = socket;
    socket.on("data", (chunk: Buffer) => this.#console.push(chunk));
    socket.on("error", () => {});
    socket.on("close", () => this.#consoleEnded.resolve());
  }

  #report(text: string): void {
    let line: ReportLine;
    try {
      line = JSON.parse(text) as ReportLine;
    } catch {
      return;
    }
    // A supervisor that was taken over must not fill the host's memory.
    if (this.stages.length >= MAX_REPORT_LINES) {
      this.#handle.kill("SIGKILL");
      return;
    }
    this.stages.push({ stage: line.stage, atMs: line.atMs });
    if (line.stage === "entering") {
      this.confinement = line.confinement ?? [];
      this.#entered.resolve();
    }
    if (line.stage === "alive") this.#alive.resolve();
    else if (line.stage === "failed") this.#failure = line;
    else if (line.stage === "exited") this.#ending = line;
  }

  async #ended(status: { exitCode: number | null; signal: number | null }): Promise<void> {
    if (!(await settlesWithin(this.#consoleEnded.promise, CONSOLE_DRAIN_MS)))
      this.#consoleSocket?.destroy();
    const exit = this.#describeExit(status);
    const error = vmExitError(this, exit);
    this.#entered.reject(error);
    this.#alive.reject(error);
    await rm(this.#vmDir, { recursive: true, force: true }).catch(() => {});
    this.#exited.resolve(exit);
  }

  #describeExit(status: { exitCode: number | null; signal: number | null }): VmExit {
    const ending = this.#ending;
    const { exitCode = null, signal = null } = ending ?? status;
    return {
      exitCode,
      signal,
      reason: this.#exitReason(),
      consoleTail: lastLines(this.consoleTail()),
      stderrTail: lastLines(ending?.stderrTail ?? ""),
      ...(this.#failure === undefined
        ? {}
        : {
            failure: {
              step: this.#failure.step ?? "start",
              errno: this.#failure.errno ?? 0,
              message: this.#failure.message ?? "",
            },
          }),
    };
  }

  #exitReason(): VmExit["reason"] {
    if (this.#isStopping) return "stopped";
    if (this.#failure !== undefined) return "failed";
    const reason = this.#ending?.reason ?? "";
    return EXIT_REASONS.has(reason) ? (reason as VmExit["reason"]) : "killed";
  }
}

/** What the supervisor calls the end of a VM and what we call it; everything else was a kill. */
const EXIT_REASONS: ReadonlySet<string> = new Set(["guest", "owner-gone", "lease"]);

function supervisorConfig(config: VmConfig, opts: VmProcessOpts): string {
  return JSON.stringify({
    driver: opts.driver,
    detached: config.lifetime === "detached",
    leaseMs: config.leaseMs,
    vcpuCount: config.vcpuCount,
    memoryMiB: config.memoryMiB,
    channels: CHANNELS,
    disks: vmDisks(config),
    ...opts.machine,
  });
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

function lastLines(text: string): string {
  return printable(text).trimEnd().split("\n").slice(-ERROR_TAIL_LINES).join("\n");
}
