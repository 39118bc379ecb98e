/** GuestSource in memory: VMs are ids with a fake agent each, real as far as a sandbox can tell. They outlive managers. */
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { AgentClient } from "../../src/agent/agent-client.js";
import type { HypervisorDriver, SavedVm, VmConfig, VmExit } from "../../src/hypervisor/driver.js";
import { vmExitError } from "../../src/hypervisor/exit-error.js";
import { Guest } from "../../src/sandbox/guest.js";
import type {
  BootOpts,
  GuestConfig,
  GuestSaving,
  GuestSource,
  RunningGuest,
  SavedGuest,
  UndecidedGuests,
} from "../../src/sandbox/guest-source.js";
import { FakeAgent } from "./fake-agent.js";
import { FakeDriver, FakeVm } from "./fake-driver.js";

export interface FakeMachine {
  readonly config: GuestConfig;
  readonly vm: FakeVm;
  readonly agent: FakeAgent;
  nonce: string;
}

const METRICS = {
  uptimeMs: 1_000,
  cpu: { count: 1, busyUsec: 500_000, idleUsec: 500_000 },
  memory: { totalBytes: 512 * 2 ** 20, availableBytes: 400 * 2 ** 20, usedBytes: 112 * 2 ** 20 },
  disk: { totalBytes: 4 * 2 ** 30, usedBytes: 12_345, availableBytes: 2 ** 30 },
  processes: 7,
  load1: 0.5,
};

export class FakeGuests implements GuestSource {
  readonly machines = new Map<string, FakeMachine>();
  readonly ends = new Map<string, VmExit>();
  readonly configs: GuestConfig[] = [];
  readonly destroyed: string[] = [];
  readonly #agents: FakeAgent[] = [];
  /** What goes wrong or takes its time: before the VM is there, and once its agent can be asked. */
  beforeBoot: (config: GuestConfig, signal?: AbortSignal) => Promise<void> = async () => {};
  onMachine: (machine: FakeMachine) => void = () => {};
  beforeAdopt: (vmId: string) => Promise<void> = async () => {};
  /** Guests can be kept. Off: how a sandbox starts is the same each time. */
  canSave = false;
  savingAsked = 0;
  /** Another QEMU, kernel or agent has another one. */
  fingerprint = "one";
  /** What a VM would tell of `canSave`, as long as nobody knows. */
  untold: boolean | undefined;
  readonly decided: GuestConfig[] = [];
  beforeDecide: (signal: AbortSignal) => Promise<void> = async () => {};
  readonly made: GuestConfig[] = [];
  readonly saved: FakeSavedVm[] = [];
  readonly resumed: GuestConfig[] = [];
  beforeMake: (config: GuestConfig, signal?: AbortSignal) => Promise<void> = async () => {};
  beforeResume: (config: GuestConfig, signal?: AbortSignal) => Promise<void> = async () => {};
  /** The most that ran at the same time. */
  peak = 0;

  async boot(
    config: GuestConfig,
    opts: { hostname: string; timeoutMs: number; signal?: AbortSignal },
  ): Promise<RunningGuest> {
    this.configs.push(config);
    await this.beforeBoot(config, opts.signal);
    opts.signal?.throwIfAborted();
    const machine = await this.addMachine(config);
    const driver = new OneVmDriver(machine.vm);
    const guest = await Guest.boot(driver, ownConfig(config), opts);
    machine.nonce = guest.nonce;
    return guest;
  }

  async claim(ready: RunningGuest, opts: BootOpts): Promise<RunningGuest> {
    const machine = this.machines.get(ready.vm.id);
    const guest = await Guest.claim(ready, opts);
    if (machine !== undefined) machine.nonce = guest.nonce;
    return guest;
  }

  async saving(): Promise<GuestSaving | null> {
    this.savingAsked += 1;
    if (!this.canSave) return null;
    return {
      fingerprint: async () => this.fingerprint,
      make: async (config, prepare, opts) => {
        this.made.push(config);
        await this.beforeMake(config, opts.signal);
        opts.signal?.throwIfAborted();
        const machine = await this.addMachine(config);
        await using guest = await Guest.boot(new OneVmDriver(machine.vm), ownConfig(config), opts);
        const prepared = await prepare(guest.agent);
        const saved = new FakeSavedVm(config);
        this.saved.push(saved);
        return { saved: { vm: saved, nonce: guest.nonce }, prepared };
      },
      resume: async (saved, config, opts) => this.#resume(saved, config, opts),
    };
  }

  async undecided(): Promise<UndecidedGuests | null> {
    if (this.untold === undefined) return null;
    return {
      decide: async (config, { signal }) => {
        this.decided.push(config);
        await this.beforeDecide(signal);
        signal.throwIfAborted();
        this.canSave = this.untold ?? this.canSave;
        this.untold = undefined;
      },
    };
  }

  async #resume(
    saved: SavedGuest,
    config: GuestConfig,
    opts: { hostname: string; timeoutMs: number; signal?: AbortSignal },
  ): Promise<RunningGuest> {
    this.resumed.push(config);
    await this.beforeResume(config, opts.signal);
    opts.signal?.throwIfAborted();
    if ((saved.vm as FakeSavedVm).isDisposed) throw new Error("the files are closed");
    const machine = await this.addMachine(config);
    machine.agent.hello = { ...machine.agent.hello, state: "ready" };
    const vms = { resume: async () => machine.vm };
    const guest = await Guest.resume(vms, saved, ownConfig(config), opts);
    machine.nonce = guest.nonce;
    return guest;
  }

  async adopt(
    vmId: string,
    opts: { nonce: string },
  ): Promise<RunningGuest | { ended: VmExit | null }> {
    await this.beforeAdopt(vmId);
    const machine = this.machines.get(vmId);
    if (machine === undefined) return { ended: this.ends.get(vmId) ?? null };
    if (machine.nonce !== opts.nonce) throw new Error("wrong nonce");
    const { vm } = machine;
    const agent = await AgentClient.connect(vm.agentSocket, { nonce: opts.nonce });
    void vm.exited.then((exit) => agent.close(vmExitError(vm, exit)));
    return { vm, agent, nonce: opts.nonce, stop: () => vm.stop() };
  }

  async destroy(vmId: string): Promise<void> {
    this.destroyed.push(vmId);
    await this.machines.get(vmId)?.vm.stop();
  }

  async running(): Promise<readonly string[]> {
    return [...this.machines.keys()];
  }

  /** The one VM that runs. */
  only(): FakeMachine {
    const [machine, ...others] = this.machines.values();
    if (machine === undefined || others.length > 0) throw new Error(`${others.length} others`);
    return machine;
  }

  async addMachine(config: GuestConfig): Promise<FakeMachine> {
    for (const { config: other } of this.machines.values()) {
      if (other.upperDisk === config.upperDisk) throw new Error("two VMs on one disk");
    }
    const agent = await FakeAgent.start();
    this.#agents.push(agent);
    const vm = new FakeVm(config.id, "qemu", agent.socketPath);
    const machine = { config, vm, agent, nonce: "" };
    agent.on("core.setup", () => ({ timings: [] }));
    agent.on("core.resume", () => ({}));
    agent.on("core.metrics", () => METRICS);
    agent.on("core.shutdown", () => {
      setImmediate(() => vm.end({ reason: "stopped" }));
      return {};
    });
    this.machines.set(config.id, machine);
    this.peak = Math.max(this.peak, this.machines.size);
    void vm.exited.then((exit) => {
      this.ends.set(config.id, exit);
      this.machines.delete(config.id);
    });
    this.onMachine(machine);
    return machine;
  }

  async stop(): Promise<void> {
    for (const { vm } of this.machines.values()) vm.end();
    await Promise.all(this.#agents.map((agent) => agent.stop()));
  }
}

/** Its private disk is what that was when it was kept. */
export class FakeSavedVm implements SavedVm {
  readonly config: VmConfig;
  readonly memoryBytes = 100 * 2 ** 20;
  isDisposed = false;
  onCopy: () => Promise<void> = async () => {};
  readonly #disk: string;

  constructor(config: GuestConfig) {
    this.config = ownConfig(config);
    this.#disk = readFileSync(config.upperDisk ?? "", "utf8");
  }

  async copyUpperDisk(path: string): Promise<void> {
    if (this.isDisposed) throw new Error("the files are closed");
    await this.onCopy();
    await writeFile(path, `copy of ${this.#disk}`, { flag: "wx" });
  }

  [Symbol.dispose](): void {
    this.isDisposed = true;
  }
}

function ownConfig(config: GuestConfig): VmConfig {
  return { ...config, initramfs: "/boot", lifetime: "detached", leaseMs: 0 };
}

/** Gives one VM that is there already. */
class OneVmDriver extends FakeDriver implements HypervisorDriver {
  constructor(private readonly vm: FakeVm) {
    super("qemu");
  }

  override async boot(): Promise<FakeVm> {
    return this.vm;
  }
}
