/** One interpreter with its state, over the lives of the processes that run it. */
import type { AgentClient } from "../agent/agent-client.js";
import { type Deferred, deferred } from "../util/async.js";
import { type CodeRun, outputLimit, type RunOutcome, type StopCause } from "./code-run.js";
import type { Kernel } from "./kernel.js";
import type { KernelRecord, OpenKernelsOpts } from "./kernels.js";
import type { KernelProgram } from "./programs/load.js";
import type { CodeContext, Language, RunEndReason } from "./run-types.js";
import { adoptKernel, startKernel } from "./start-kernel.js";

/** The longest that timers wait. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface ContextDeps {
  readonly agent: AgentClient;
  readonly opts: OpenKernelsOpts;
  readonly maxOutputBytes: number;
  readonly program: (language: Language) => Promise<KernelProgram>;
  readonly onChange: () => void;
}

/** Which interpreter a context is to have. */
export type ContextIdentity = Omit<KernelRecord, "stream">;

export class Context {
  readonly #identity: ContextIdentity;
  readonly #deps: ContextDeps;
  #kernel: Kernel | undefined;
  /** Under way; shared by all who need the kernel. */
  #starting: Promise<Kernel | undefined> | undefined;
  /** Resolves when the guest has what is starting. */
  #owned: Deferred<void> = deferred();
  #restarts = 0;
  #stream: number | null = null;
  /** The interpreter went away, and no run has told so yet. */
  #isStateLost = false;
  #isDeleted = false;

  constructor(identity: ContextIdentity, deps: ContextDeps) {
    this.#identity = identity;
    this.#deps = deps;
  }

  get id(): string {
    return this.#identity.id;
  }

  get language(): Language {
    return this.#identity.language;
  }

  get isDeleted(): boolean {
    return this.#isDeleted;
  }

  get record(): KernelRecord {
    return { ...this.#identity, stream: this.#stream };
  }

  get info(): CodeContext {
    return { ...this.#identity, state: this.#state() };
  }

  /** The kernel that is to run code; started if there is none, and anew when a restart ends its start. */
  async ensureKernel(): Promise<Kernel> {
    for (;;) {
      const restarts = this.#restarts;
      try {
        return await this.#startedKernel();
      } catch (error) {
        if (this.#restarts === restarts || this.#isDeleted) throw error;
      }
    }
  }

  /** Takes over the interpreter on `stream`, in the background. */
  adopt(stream: number): void {
    this.#stream = stream;
    this.#begin(this.#takeOver(stream));
  }

  /** Sees a run to its end: its code, its deadline, and whoever wants it to stop. Never throws. */
  async perform(
    kernel: Kernel,
    run: CodeRun,
    request: { readonly code: string; readonly timeoutMs: number },
  ): Promise<void> {
    const startedAt = performance.now();
    let deadline: NodeJS.Timeout | undefined;
    try {
      kernel.begin(run, request.code);
      if (request.timeoutMs > 0) {
        const delayMs = Math.min(request.timeoutMs, MAX_TIMER_MS);
        deadline = setTimeout(() => run.requestStop("timeout"), delayMs);
      }
      const cause = await Promise.race([run.outcome.then(() => undefined), run.stopRequested]);
      if (cause === "released") return;
      if (cause === "restart") await kernel.kill();
      else if (cause !== undefined) await kernel.stop(run);
      const outcome = await run.outcome;
      // Else the loss would be told twice.
      if (outcome.kind === "died") await kernel.gone;
      this.#finish(run, outcome, cause, performance.now() - startedAt);
    } catch (error) {
      run.throwLast(error);
    } finally {
      clearTimeout(deadline);
    }
  }

  /** False when no code runs. */
  async interrupt(): Promise<boolean> {
    if (this.#kernel?.run === undefined) return false;
    await this.#kernel.interrupt();
    return true;
  }

  /** Ends the interpreter and what it runs. */
  async restart(): Promise<void> {
    this.#restarts += 1;
    if (this.#starting !== undefined) await this.#callOff(this.#starting);
    const kernel = this.#kernel;
    if (kernel === undefined) return;
    kernel.run?.requestStop("restart");
    await kernel.kill();
    // Who asked for it knows.
    if (this.#kernel === undefined) this.#isStateLost = false;
  }

  async delete(): Promise<void> {
    this.#isDeleted = true;
    await this.restart();
  }

  /** Lets go of the interpreter; what it runs throws `error`. */
  release(error: Error): void {
    const run = this.#kernel?.run;
    run?.requestStop("released");
    run?.throwNow(error);
  }

  #state(): CodeContext["state"] {
    if (this.#starting !== undefined) return "starting";
    if (this.#kernel === undefined) return "absent";
    return this.#kernel.run === undefined ? "idle" : "busy";
  }

  async #startedKernel(): Promise<Kernel> {
    const present = this.#starting === undefined ? this.#kernel : await this.#starting;
    if (present !== undefined && !present.isGone) return present;
    // Others may have waited for the same.
    const starting = (this.#starting as Promise<Kernel> | undefined) ?? this.#begin(this.#start());
    return starting;
  }

  /** Ends an interpreter that starts, which may hang; one that is ready by then is left as it is. */
  async #callOff(starting: Promise<unknown>): Promise<void> {
    const started = starting.catch(() => {});
    await Promise.race([started, this.#owned.promise]);
    if (this.#starting === starting) await this.#kernel?.kill();
    await started;
  }

  #begin<T extends Kernel | undefined>(work: Promise<T>): Promise<T> {
    const starting = work.finally(() => {
      if (this.#starting === starting) this.#starting = undefined;
    });
    this.#starting = starting;
    // Who needs the kernel hears of it.
    starting.catch(() => {});
    return starting;
  }

  async #start(): Promise<Kernel> {
    this.#owned = deferred();
    const { agent, opts, program } = this.#deps;
    const { language, env, workdir } = this.#identity;
    return startKernel(agent, {
      language,
      program: await program(language),
      env: [...opts.env, ...env],
      workdir,
      user: opts.user,
      onStarted: (kernel) => this.#own(kernel),
    });
  }

  async #takeOver(stream: number): Promise<Kernel | undefined> {
    const { agent, opts } = this.#deps;
    const kernel = await adoptKernel(agent, stream, opts.isResumed ? "resumed" : "adopted");
    if (kernel === undefined) {
      this.#isStateLost = opts.isResumed !== true;
      this.#setStream(null);
    } else {
      this.#own(kernel);
    }
    return kernel;
  }

  #own(kernel: Kernel): void {
    this.#kernel = kernel;
    this.#owned.resolve();
    this.#setStream(kernel.stream);
    void kernel.gone.then(() => {
      if (this.#kernel !== kernel) return;
      this.#kernel = undefined;
      if (kernel.hasState) this.#isStateLost = true;
      this.#setStream(null);
    });
  }

  #setStream(stream: number | null): void {
    if (this.#stream === stream) return;
    this.#stream = stream;
    this.#deps.onChange();
  }

  #finish(
    run: CodeRun,
    outcome: RunOutcome,
    cause: StopCause | undefined,
    durationMs: number,
  ): void {
    const stateLost = this.#isStateLost || outcome.kind === "died";
    // Who gets no end is not told.
    this.#isStateLost = stateLost && (cause === "abandoned" || cause === "overflow");
    if (cause === "overflow") return run.throwLast(outputLimit(this.#deps.maxOutputBytes));
    const reason = endReason(outcome, cause);
    if (outcome.kind === "died" && cause === undefined && !run.hasError) {
      run.error(outcome.death.error);
    }
    run.finish({
      type: "end",
      status: reason === "completed" ? "success" : "error",
      reason,
      durationMs: Math.round(durationMs),
      stateLost,
    });
  }
}

function endReason(outcome: RunOutcome, cause: StopCause | undefined): RunEndReason {
  if (cause === "timeout") return "timeout";
  if (cause !== undefined) return "interrupted";
  return outcome.kind === "ended" ? outcome.reason : outcome.death.reason;
}
