/** HypervisorDriver in memory: VMs that are ids, with an end that the test decides. */
import type {
  DriverName,
  DriverProbe,
  HypervisorDriver,
  MicroVm,
  UndecidedDriver,
  VmConfig,
  VmExit,
  VmSaving,
} from "../../src/hypervisor/driver.js";
import { type Deferred, deferred } from "../../src/util/async.js";

export class FakeVm implements MicroVm {
  readonly pid = 1;
  readonly vmPid = 2;
  readonly stages = [];
  readonly confinement = [];
  readonly aliveSignal: Deferred<void> = deferred();
  readonly #exited: Deferred<VmExit> = deferred();
  readonly alive = this.aliveSignal.promise;
  readonly exited = this.#exited.promise;
  stops = 0;
  isReleased = false;
  readonly #consoleListeners = new Set<(bytes: Buffer) => void>();

  constructor(
    readonly id: string,
    readonly driver: DriverName,
    readonly agentSocket: string,
  ) {
    this.alive.catch(() => {});
  }

  consoleTail(): string {
    return "";
  }

  onConsole(listener: (bytes: Buffer) => void): () => void {
    this.#consoleListeners.add(listener);
    return () => this.#consoleListeners.delete(listener);
  }

  /** The guest writes to its console. */
  print(text: string): void {
    for (const listener of this.#consoleListeners) listener(Buffer.from(text));
  }

  release(): void {
    this.isReleased = true;
  }

  end(exit: Partial<VmExit> = {}): void {
    this.aliveSignal.reject(new Error("ended"));
    this.#exited.resolve({
      exitCode: 0,
      signal: null,
      reason: "guest",
      consoleTail: "",
      stderrTail: "",
      ...exit,
    });
  }

  async stop(): Promise<VmExit> {
    this.stops += 1;
    this.end({ reason: "stopped" });
    return this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

export class FakeDriver implements HypervisorDriver {
  readonly booted: FakeVm[] = [];
  readonly configs: VmConfig[] = [];
  verdict: DriverProbe = { usable: true, facts: {} };
  /** Called for each VM right after its boot. */
  onBoot: (vm: FakeVm) => void = () => {};
  agentSocket = "/nowhere";

  constructor(readonly name: DriverName) {}

  async probe(): Promise<DriverProbe> {
    return this.verdict;
  }

  async saving(): Promise<VmSaving | null> {
    return null;
  }

  async undecided(): Promise<UndecidedDriver | null> {
    return null;
  }

  async boot(config: VmConfig): Promise<MicroVm> {
    const vm = new FakeVm(config.id, this.name, this.agentSocket);
    this.booted.push(vm);
    this.configs.push(config);
    this.onBoot(vm);
    return vm;
  }
}

export const fakeConfig: VmConfig = {
  id: "fake",
  vcpuCount: 1,
  memoryMiB: 256,
  initramfs: "/boot",
  imageDisk: "/image",
  upperDisk: null,
  lifetime: "owner",
  leaseMs: 0,
};
