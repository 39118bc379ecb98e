/** GuestSource in memory: VMs are ids with a fake agent each, real as far as a sandbox can tell. They outlive managers. */
import { AgentClient } from "../../src/agent/agent-client.js";
import type { HypervisorDriver, VmExit } from "../../src/hypervisor/driver.js";
import { vmExitError } from "../../src/hypervisor/exit-error.js";
import { Guest } from "../../src/sandbox/guest.js";
import type {
  BootOpts,
  GuestConfig,
  GuestSaving,
  GuestSource,
  RunningGuest,
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
    const guest = await Guest.boot(
      driver,
      { ...config, bootDisk: "/boot", lifetime: "detached", leaseMs: 0 },
      opts,
    );
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
    return null;
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

/** Gives one VM that is there already. */
class OneVmDriver extends FakeDriver implements HypervisorDriver {
  constructor(private readonly vm: FakeVm) {
    super("qemu");
  }

  override async boot(): Promise<FakeVm> {
    return this.vm;
  }
}
