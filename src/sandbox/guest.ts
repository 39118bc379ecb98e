/** A microVM with its agent: boots both, hands out a guest that is ready, stops in order. */
import { randomBytes } from "node:crypto";
import { AgentClient, type GuestResume } from "../agent/agent-client.js";
import type { SetupTiming } from "../agent/messages.js";
import { isMsbError, messageOf, MsbError } from "../errors.js";
import {
  GUEST_DEVICES,
  type HypervisorDriver,
  type MicroVm,
  type VmConfig,
  type VmExit,
  type VmSaving,
} from "../hypervisor/driver.js";
import { isEmulatedKernelCrash, vmExitError } from "../hypervisor/exit-error.js";
import { abortable, settlesWithin } from "../util/async.js";
import { keepAgent } from "./agent-keeper.js";
import type { RunningGuest, SavedGuest } from "./guest-source.js";

export const DEFAULT_BOOT_TIMEOUT_MS = 60_000;
/** What an agent that is ready may take to say so. */
const ADOPT_TIMEOUT_MS = 15_000;
/** Time for the guest's programs between SIGTERM and SIGKILL. */
const DEFAULT_STOP_GRACE_MS = 1_000;
/** What the guest may take beyond that to sync its disk and restart. */
const SHUTDOWN_MARGIN_MS = 3_000;

export interface BootGuestOpts {
  readonly hostname?: string;
  /** What time it is in the guest; default now. */
  readonly clockMs?: number;
  /** From power-on to ready, default 60 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface AdoptGuestOpts {
  /** Of the boot. */
  readonly nonce: string;
  readonly signal?: AbortSignal;
}

/** When each stage of a boot was reached; of an adopted guest, how long the adoption took. */
export interface BootTimings {
  /** Milliseconds from the call to a started VM process, and to a ready guest. */
  readonly startedMs: number;
  readonly readyMs: number;
  /** The agent's own steps, since it was started by the guest kernel. */
  readonly guest: readonly SetupTiming[];
}

export class Guest implements RunningGuest, AsyncDisposable {
  #stopping: Promise<VmExit> | undefined;

  private constructor(
    readonly vm: MicroVm,
    readonly agent: AgentClient,
    readonly timings: BootTimings,
    /** Whoever holds it may connect to this guest's agent. */
    readonly nonce: string,
  ) {
    void vm.exited.then((exit) => agent.close(vmExitError(vm, exit)));
    keepAgent(vm, agent);
  }

  /**
   * Boots and waits until the agent has made the guest ready. A guest that does not get there is
   * ended. Throws what `driver.boot` throws, MSB_ERR_BOOT_TIMEOUT, MSB_ERR_VM_EXITED, MSB_ERR_GENERATION.
   */
  static async boot(
    driver: Pick<HypervisorDriver, "boot">,
    config: VmConfig,
    opts: BootGuestOpts = {},
  ): Promise<Guest> {
    const how = bootClock(opts);
    const attempt = (): Promise<Guest> =>
      Guest.#start(config, how, {
        start: (signal) => driver.boot(config, { signal }),
        makeReady: (vm, nonce, signal) => makeReady(vm, { nonce, opts, config, signal }),
      });
    return attempt().catch((error: unknown) => {
      // Whatever an emulated kernel is given, on a busy host it crashes now and then before it is up.
      if (isEmulatedKernelCrash(error)) return attempt();
      throw error;
    });
  }

  /**
   * Goes on from a saved guest, with a disk that is a copy of its, as a guest of its own: nonce, hostname, clock and
   * random numbers are new. Programs that ran go on (`agent.hello.execs`). Throws as `boot`, and what `saving.resume`
   * throws.
   */
  static async resume(
    saving: Pick<VmSaving, "resume">,
    saved: SavedGuest,
    config: VmConfig,
    opts: BootGuestOpts = {},
  ): Promise<Guest> {
    return Guest.#start(config, bootClock(opts), {
      start: (signal) => saving.resume(saved.vm, config, { signal }),
      makeReady: (vm, nonce, signal) =>
        // Whoever had it saved had left it when nothing was under way to it.
        makeOwn(vm, { nonce, opts, config, signal, saved, mayBeCutShort: false }),
    });
  }

  /** The same for a guest that runs, whose agent's client is closed. It ends when that fails. */
  static async claim(ready: RunningGuest, opts: BootGuestOpts = {}): Promise<Guest> {
    const { vm, agent, nonce: known } = ready;
    // Nothing is under way to a guest that is idle; to one that is just reconnected to there may be.
    const mayBeCutShort = !agent.isConnected;
    agent.close();
    return Guest.#start(vm, bootClock(opts), {
      start: async () => vm,
      makeReady: (_vm, nonce, signal) =>
        makeOwn(vm, { nonce, opts, config: vm, signal, saved: { nonce: known }, mayBeCutShort }),
    });
  }

  static async #start(
    config: Pick<VmConfig, "id">,
    how: BootClock,
    steps: BootSteps,
  ): Promise<Guest> {
    const { opts, clock, timeoutMs } = how;
    const signal = opts.signal === undefined ? clock : AbortSignal.any([clock, opts.signal]);
    const startedAt = performance.now();
    const nonce = randomBytes(16).toString("hex");
    let vm: MicroVm | undefined;
    try {
      vm = await steps.start(signal);
      const startedMs = performance.now() - startedAt;
      const { agent, guest } = await steps.makeReady(vm, nonce, signal);
      return new Guest(
        vm,
        agent,
        { startedMs, readyMs: performance.now() - startedAt, guest },
        nonce,
      );
    } catch (error) {
      const exit = await vm?.stop();
      if (clock.aborted && opts.signal?.aborted !== true)
        throw bootTimeout(config, timeoutMs, exit, error);
      throw error;
    }
  }

  /**
   * Takes over a guest that was made ready by another process; its programs go on (`agent.hello.execs`). The VM is
   * left as it is when that fails: throws MSB_ERR_AGENT_UNREACHABLE (also for a guest that never became ready),
   * MSB_ERR_REQUEST_TIMEOUT, MSB_ERR_AGENT_FAILED (another nonce), MSB_ERR_GENERATION, MSB_ERR_PROTOCOL,
   * MSB_ERR_VM_EXITED.
   */
  static async adopt(vm: MicroVm, opts: AdoptGuestOpts): Promise<Guest> {
    const startedAt = performance.now();
    const clock = AbortSignal.timeout(ADOPT_TIMEOUT_MS);
    const signal = opts.signal === undefined ? clock : AbortSignal.any([clock, opts.signal]);
    const agent = await whileAlive(vm, signal, "The adoption", () =>
      AgentClient.connect(vm.agentSocket, { nonce: opts.nonce, signal }),
    ).catch((error: unknown) => {
      if (clock.aborted && opts.signal?.aborted !== true) throw adoptTimeout(vm, error);
      throw error;
    });
    if (agent.hello.state !== "ready") {
      agent.close();
      throw new MsbError(
        "MSB_ERR_AGENT_UNREACHABLE",
        `The microVM ${vm.id} was never made ready, so it cannot be taken over. Stop it and start a new one.`,
        { details: { id: vm.id, state: agent.hello.state } },
      );
    }
    const tookMs = performance.now() - startedAt;
    return new Guest(vm, agent, { startedMs: 0, readyMs: tookMs, guest: [] }, opts.nonce);
  }

  /**
   * Asks the guest to stop its programs and its disks, then ends the VM if it has not gone within
   * `graceMs` plus a bounded margin. Idempotent; resolves when the VM is gone.
   */
  stop(opts: { graceMs?: number } = {}): Promise<VmExit> {
    this.#stopping ??= this.#stop(opts.graceMs ?? DEFAULT_STOP_GRACE_MS);
    return this.#stopping;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #stop(graceMs: number): Promise<VmExit> {
    const limit = AbortSignal.timeout(graceMs + SHUTDOWN_MARGIN_MS);
    const asked = await this.agent.shutdown({ graceMs, signal: limit }).then(
      () => true,
      () => false,
    );
    if (asked) await settlesWithin(this.vm.exited, graceMs + SHUTDOWN_MARGIN_MS);
    return this.vm.stop();
  }
}

interface BootClock {
  readonly opts: BootGuestOpts;
  readonly clock: AbortSignal;
  readonly timeoutMs: number;
}

function bootClock(opts: BootGuestOpts): BootClock {
  const timeoutMs = opts.timeoutMs ?? DEFAULT_BOOT_TIMEOUT_MS;
  return { opts, clock: AbortSignal.timeout(timeoutMs), timeoutMs };
}

interface ReadyAgent {
  readonly agent: AgentClient;
  readonly guest: readonly SetupTiming[];
}

interface BootSteps {
  readonly start: (signal: AbortSignal) => Promise<MicroVm>;
  readonly makeReady: (vm: MicroVm, nonce: string, signal: AbortSignal) => Promise<ReadyAgent>;
}

interface ReadyOpts<Config = Pick<VmConfig, "id">> {
  readonly nonce: string;
  readonly opts: BootGuestOpts;
  readonly config: Config;
  readonly signal: AbortSignal;
}

async function makeReady(vm: MicroVm, ready: ReadyOpts<VmConfig>): Promise<ReadyAgent> {
  const { nonce, config, signal } = ready;
  const image = GUEST_DEVICES.image;
  const upper = config.upperDisk === null ? null : GUEST_DEVICES.upper;
  return whileAlive(vm, signal, "The boot", async () => {
    const agent = await AgentClient.connect(vm.agentSocket, {
      nonce,
      mayBeCutShort: false,
      signal,
    });
    return closedUnless(agent, async () => ({
      agent,
      guest: await agent.setup({ image, upper, ...identity(ready) }, { signal }),
    }));
  });
}

async function makeOwn(
  vm: MicroVm,
  ready: ReadyOpts & {
    readonly saved: Pick<SavedGuest, "nonce">;
    readonly mayBeCutShort: boolean;
  },
): Promise<ReadyAgent> {
  const { nonce, signal, saved, mayBeCutShort } = ready;
  return whileAlive(vm, signal, "The start", async () => {
    const agent = await AgentClient.connect(vm.agentSocket, {
      nonce: saved.nonce,
      mayBeCutShort,
      resume: { nonce, ...identity(ready) },
      signal,
    });
    return { agent, guest: [] };
  });
}

/** What no two guests share. */
function identity({ opts, config }: ReadyOpts): Omit<GuestResume, "nonce"> {
  return {
    hostname: opts.hostname ?? config.id,
    clockMs: opts.clockMs ?? Date.now(),
    entropy: randomBytes(256).toString("base64"),
  };
}

async function closedUnless<T>(agent: AgentClient, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    agent.close();
    throw error;
  }
}

/** The result of `work`; its failure, or the VM's when that ends meanwhile. */
async function whileAlive<T>(
  vm: MicroVm,
  signal: AbortSignal,
  what: string,
  work: () => Promise<T>,
): Promise<T> {
  const died = vm.exited.then((exit) => {
    throw vmExitError(vm, exit);
  });
  died.catch(() => {});
  try {
    return await abortable(Promise.race([work(), died]), signal, what);
  } catch (error) {
    // A lost connection is how a dying VM shows first; its own words say more.
    if (isMsbError(error, "MSB_ERR_AGENT_UNREACHABLE") && (await settlesWithin(vm.exited, 1_000))) {
      throw vmExitError(vm, await vm.exited);
    }
    throw error;
  }
}

function bootTimeout(
  config: Pick<VmConfig, "id">,
  timeoutMs: number,
  exit: VmExit | undefined,
  cause: unknown,
): MsbError {
  const shown = exit?.consoleTail ? ` Its console ended with:\n${exit.consoleTail}` : "";
  return new MsbError(
    "MSB_ERR_BOOT_TIMEOUT",
    `The microVM ${config.id} was not ready within ${timeoutMs} ms and was ended. Raise timeoutMs, or give it ` +
      `more memory or a less busy host. Last: ${messageOf(cause)}.${shown}`,
    { cause, details: { id: config.id, timeoutMs, exit } },
  );
}

function adoptTimeout(vm: MicroVm, cause: unknown): MsbError {
  return new MsbError(
    "MSB_ERR_REQUEST_TIMEOUT",
    `The agent of the running microVM ${vm.id} did not answer within ${ADOPT_TIMEOUT_MS} ms. Stop the microVM and ` +
      "start a new one.",
    { cause, details: { id: vm.id, timeoutMs: ADOPT_TIMEOUT_MS } },
  );
}
