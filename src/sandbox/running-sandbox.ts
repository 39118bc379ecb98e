/** What there is of a sandbox while its VM is ready: guest, kernels, deadlines, metrics. */
import { isMsbError, messageOf, MsbError } from "../errors.js";
import type { VmExit } from "../hypervisor/driver.js";
import { vmExitError } from "../hypervisor/exit-error.js";
import type { Kernels } from "../kernel/kernels.js";
import type { RunCodeRequest, RunEvent } from "../kernel/run-types.js";
import { runGuestCommand } from "./command.js";
import { streamGuestCommand } from "./command-stream.js";
import { Deadlines, type DeadlineReason } from "./deadlines.js";
import { commandContext, type GuestContext } from "./guest-env.js";
import type { RunningGuest } from "./guest-source.js";
import type { SandboxDeps } from "./manager-opts.js";
import { MetricsSampler } from "./metrics-sampler.js";
import type {
  CommandEvent,
  CommandRequest,
  CommandResult,
  SandboxCallOpts,
  SandboxInfo,
  SandboxSpec,
  StreamCommandRequest,
} from "./service.js";

/** A guest that does not tell its numbers in this time is not waited for. */
const METRICS_TIMEOUT_MS = 3_000;
/** Not at once: what a new sandbox is wanted for comes first, and would wait for the guest's numbers. */
const FIRST_LOOK_MS = 2_000;

export interface RunningSandboxOpts {
  /** For messages: `namespace/name`. */
  readonly name: string;
  readonly guest: RunningGuest;
  readonly kernels: Kernels;
  readonly context: GuestContext;
  readonly spec: SandboxSpec;
  readonly startedAtMs: number;
  /** Of the budget. */
  readonly reservation: Disposable;
  /** Ends the watch of the console. */
  readonly endConsole: () => Promise<void>;
  /** Told when `due` has a reason. */
  readonly onDeadline: () => void;
  readonly deps: SandboxDeps;
}

export class RunningSandbox {
  readonly guest: RunningGuest;
  readonly kernels: Kernels;
  readonly sampler: MetricsSampler;
  readonly #opts: RunningSandboxOpts;
  readonly #deadlines: Deadlines;
  readonly #callOffLook: () => void;
  #ending: MsbError | undefined;
  #exit: VmExit | undefined;

  constructor(opts: RunningSandboxOpts) {
    const { guest, deps, spec } = opts;
    this.#opts = opts;
    this.guest = guest;
    this.kernels = opts.kernels;
    this.#deadlines = new Deadlines({
      clock: deps.clock,
      idleTimeoutMs: spec.idleTimeoutMs,
      maxLifetimeMs: spec.maxLifetimeMs,
      startedAtMs: opts.startedAtMs,
      onReached: opts.onDeadline,
    });
    this.sampler = new MetricsSampler({
      clock: deps.clock,
      readHost: async () => {
        const pid = guest.vm.vmPid;
        return pid === null ? null : deps.readProcessUsage(pid);
      },
      readGuest: () => guest.agent.metrics({ signal: AbortSignal.timeout(METRICS_TIMEOUT_MS) }),
    });
    // So that the next one has something to compare with.
    this.#callOffLook = deps.clock.after(FIRST_LOOK_MS, () => {
      this.sampler.sample().catch(() => {});
    });
    void guest.vm.exited.then((exit) => {
      this.#exit = exit;
      this.endCalls(vmExitError(guest.vm, exit));
    });
  }

  /** How its VM ended; undefined while it runs. */
  get exit(): VmExit | undefined {
    return this.#exit;
  }

  /** Why it is to be stopped now; undefined when it is not. */
  get due(): DeadlineReason | undefined {
    return this.#deadlines.due;
  }

  info(): NonNullable<SandboxInfo["vm"]> {
    const { id, driver, pid, confinement } = this.guest.vm;
    const stopsAtMs = this.#deadlines.nextMs;
    const stopsAt = stopsAtMs === null ? null : new Date(stopsAtMs).toISOString();
    return { id, driver, pid, confinement, stopsAt };
  }

  async runCommand(request: CommandRequest, opts: SandboxCallOpts): Promise<CommandResult> {
    using _activity = this.#deadlines.activity();
    const { maxOutputBytes } = this.#opts.deps;
    try {
      return await runGuestCommand(this.guest.agent, request, {
        ...this.#opts.context,
        maxOutputBytes,
        signal: opts.signal,
      });
    } catch (error) {
      throw this.#explain(error);
    }
  }

  async *streamCommand(
    request: StreamCommandRequest,
    opts: SandboxCallOpts,
  ): AsyncGenerator<CommandEvent, void, undefined> {
    using _activity = this.#deadlines.activity();
    try {
      yield* streamGuestCommand(this.guest.agent, request, {
        ...commandContext(this.#opts.context, request),
        signal: opts.signal,
      });
    } catch (error) {
      throw this.#explain(error);
    }
  }

  async *runCode(
    request: RunCodeRequest,
    opts: SandboxCallOpts,
  ): AsyncGenerator<RunEvent, void, undefined> {
    using _activity = this.#deadlines.activity();
    try {
      yield* this.kernels.run(request, opts);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** Something of its contexts, while it is not idle. */
  async useKernels<T>(work: (kernels: Kernels) => Promise<T>): Promise<T> {
    using _activity = this.#deadlines.activity();
    try {
      return await work(this.kernels);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** What is under way, and what comes, fails with `error`. */
  endCalls(error: MsbError): void {
    this.#ending ??= error;
    this.#endTimers();
    this.kernels.close(this.#ending);
    this.guest.agent.close(this.#ending);
  }

  /** Asks the guest to end, then ends its VM; resolves when it is gone and everything is free. */
  async stop(graceMs: number | undefined): Promise<VmExit> {
    this.#ending ??= new MsbError(
      "MSB_ERR_INVALID_STATE",
      `The sandbox ${this.#opts.name} was stopped while this ran.`,
      { details: { sandbox: this.#opts.name } },
    );
    this.#endTimers();
    this.kernels.close(this.#ending);
    try {
      return await this.guest.stop(graceMs === undefined ? {} : { graceMs });
    } finally {
      await this.release();
    }
  }

  /** For a VM that is gone. */
  async release(): Promise<void> {
    this.#endTimers();
    await this.#opts.endConsole();
    this.#opts.reservation[Symbol.dispose]();
  }

  /** Leaves the VM to whoever adopts it. */
  async detach(error: MsbError): Promise<void> {
    this.endCalls(error);
    await this.release();
    this.guest.vm.release();
  }

  #endTimers(): void {
    this.#deadlines.end();
    this.#callOffLook();
  }

  /** A lost connection, or a program that was killed, is only how the end of the sandbox shows. */
  #explain(error: unknown): unknown {
    const ending = this.#ending;
    if (ending === undefined || error === ending || !isTransport(error)) return error;
    return new MsbError(ending.code, `${ending.message} (${messageOf(error)})`, {
      cause: error,
      details: ending.details,
    });
  }
}

function isTransport(error: unknown): boolean {
  return (
    isMsbError(error, "MSB_ERR_AGENT_UNREACHABLE") || isMsbError(error, "MSB_ERR_EXEC_NOT_FOUND")
  );
}
