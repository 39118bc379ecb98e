/** `--hypervisor auto`: libkrun where it really works, else QEMU, with the reason kept. */
import { MsbError } from "../errors.js";
import { settlesWithin, throwIfAborted } from "../util/async.js";
import type {
  DriverName,
  DriverProbe,
  HypervisorDriver,
  MicroVm,
  UndecidedDriver,
  VmConfig,
  VmSaving,
} from "./driver.js";
import { readVerdict, type Verdict, writeVerdict } from "./verdict-cache.js";

/** A kernel that has not written a byte by then will not: stock kernels spin on KVMs that are no KVM. */
export const DEFAULT_SIGN_OF_LIFE_MS = 3_000;

export interface AutoDriverOpts {
  readonly libkrun: HypervisorDriver;
  readonly qemu: HypervisorDriver;
  readonly verdictFile: string;
  readonly verdictKey: string;
  readonly signOfLifeMs?: number;
  /** Told once when QEMU is taken, with the reason. */
  readonly onFallback?: (reason: string) => void;
}

/** Which driver `auto` takes and why. */
export interface AutoChoice {
  readonly driver: DriverName;
  readonly reason: string;
  /** False until a first boot has confirmed or refuted libkrun on this host. */
  readonly isConfirmed: boolean;
}

export class AutoDriver implements HypervisorDriver {
  readonly #opts: AutoDriverOpts;
  #choice: Promise<AutoChoice> | undefined;
  #confirming: Promise<unknown> = Promise.resolve();

  constructor(opts: AutoDriverOpts) {
    this.#opts = opts;
  }

  /** Until the choice is made this is the preferred driver's. */
  get name(): DriverName {
    return this.#opts.libkrun.name;
  }

  /** What would be taken now, without booting. */
  choose(): Promise<AutoChoice> {
    this.#choice ??= this.#look();
    return this.#choice;
  }

  async probe(): Promise<DriverProbe> {
    const choice = await this.choose();
    const probe = await this.#driver(choice).probe();
    return probe.usable ? { usable: true, facts: { ...probe.facts, ...choice } } : probe;
  }

  async boot(config: VmConfig, opts: { signal?: AbortSignal } = {}): Promise<MicroVm> {
    const choice = await this.choose();
    if (choice.isConfirmed) return this.#driver(choice).boot(config, opts);
    return this.#inTurn(() => this.#confirm(config, opts));
  }

  async undecided(): Promise<UndecidedDriver | null> {
    if ((await this.choose()).isConfirmed) return null;
    return { decide: (config, opts = {}) => this.#inTurn(() => this.#decide(config, opts)) };
  }

  /** One VM finds out; those that come meanwhile wait for its verdict. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const attempt = this.#confirming.then(work);
    this.#confirming = attempt.catch(() => {});
    return attempt;
  }

  async saving(): Promise<VmSaving | null> {
    return this.#driver(await this.choose()).saving();
  }

  async #look(): Promise<AutoChoice> {
    const { libkrun, verdictFile, verdictKey } = this.#opts;
    const probe = await libkrun.probe();
    if (!probe.usable) return this.#fallBack(probe.reason);
    const verdict = await readVerdict(verdictFile, verdictKey);
    if (verdict === undefined) {
      return {
        driver: "libkrun",
        reason: "the host looks able; the first boot will tell",
        isConfirmed: false,
      };
    }
    if (!verdict.isUsable) return this.#fallBack(verdict.reason);
    return { driver: "libkrun", reason: verdict.reason, isConfirmed: true };
  }

  async #fallBack(reason: string): Promise<AutoChoice> {
    const probe = await this.#opts.qemu.probe();
    if (!probe.usable) {
      throw new MsbError(
        "MSB_ERR_HYPERVISOR_UNAVAILABLE",
        `No microVM can run here. libkrun: ${reason} QEMU: ${probe.reason}`,
        { details: { libkrun: reason, qemu: probe.reason } },
      );
    }
    this.#opts.onFallback?.(reason);
    return { driver: "qemu", reason, isConfirmed: true };
  }

  async #confirm(config: VmConfig, opts: { signal?: AbortSignal }): Promise<MicroVm> {
    const { isConfirmed } = await this.choose();
    const vm = isConfirmed ? null : await this.#tryLibkrun(config, opts);
    return vm ?? this.#driver(await this.choose()).boot(config, opts);
  }

  async #decide(config: VmConfig, opts: { signal?: AbortSignal }): Promise<void> {
    if ((await this.choose()).isConfirmed) return;
    await (await this.#tryLibkrun(config, opts))?.stop();
  }

  /** The VM, alive; null when libkrun cannot run it. Which of them is remembered. */
  async #tryLibkrun(config: VmConfig, opts: { signal?: AbortSignal }): Promise<MicroVm | null> {
    const limitMs = this.#opts.signOfLifeMs ?? DEFAULT_SIGN_OF_LIFE_MS;
    const vm = await this.#opts.libkrun.boot(config, opts);
    const isAlive = await settlesWithin(vm.alive, limitMs).catch(() => false);
    if (isAlive) {
      await this.#keep({
        isUsable: true,
        reason: "a microVM has booted here",
        at: new Date().toISOString(),
      });
      return vm;
    }
    await vm.stop();
    throwIfAborted(opts.signal, "The boot");
    const reason =
      `the first microVM under libkrun gave no sign of life within ${limitMs} ms ` +
      "(MSB_SIGN_OF_LIFE_MS): this host's KVM cannot run it.";
    await this.#keep({ isUsable: false, reason, at: new Date().toISOString() });
    return null;
  }

  async #keep(verdict: Verdict): Promise<void> {
    await writeVerdict(this.#opts.verdictFile, this.#opts.verdictKey, verdict);
    this.#choice = verdict.isUsable
      ? Promise.resolve({ driver: "libkrun", reason: verdict.reason, isConfirmed: true })
      : this.#fallBack(verdict.reason);
    // Whoever boots next hears of a failed fall-back.
    this.#choice.catch(() => {});
  }

  #driver(choice: AutoChoice): HypervisorDriver {
    return choice.driver === "libkrun" ? this.#opts.libkrun : this.#opts.qemu;
  }
}
