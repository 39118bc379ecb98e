/** The interpreters of one running guest: their contexts, and whose turn it is in each. */
import { randomBytes } from "node:crypto";
import type { AgentClient } from "../agent/agent-client.js";
import { MsbError } from "../errors.js";
import { abortable, abortReason } from "../util/async.js";
import { KeyedMutex } from "../util/keyed-mutex.js";
import { CodeRun } from "./code-run.js";
import { Context, type ContextDeps, type ContextIdentity } from "./context.js";
import type { Kernels, KernelsSnapshot, OpenKernels, OpenKernelsOpts } from "./kernels.js";
import { kernelProgram } from "./programs/load.js";
import {
  type CodeContext,
  type Language,
  LANGUAGES,
  type RunCodeRequest,
  type RunEvent,
} from "./run-types.js";

const DEFAULT_MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
/** Besides the default ones. */
const MAX_CONTEXTS = 16;
/** Runs that wait for their turn in one context, each with its code. */
const MAX_WAITING_RUNS = 64;
/** Of one context. The agent takes it in one request with the sandbox's own, and the record keeps it. */
const MAX_ENV_BYTES = 32 * 1024;

/** Adoption goes on in the background: calls wait for it. */
export const openKernels: OpenKernels = async (agent, opts) =>
  new GuestKernels(agent, opts, kernelProgram);

/** `program` is replaced by tests only. */
export class GuestKernels implements Kernels {
  readonly #deps: ContextDeps;
  readonly #contexts = new Map<string, Context>();
  readonly #turns = new KeyedMutex();
  readonly #waiting = new Map<string, number>();
  #closeError: Error | undefined;

  constructor(agent: AgentClient, opts: OpenKernelsOpts, program: ContextDeps["program"]) {
    this.#deps = {
      agent,
      opts,
      program,
      maxOutputBytes: opts.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES,
      onChange: () => {
        if (this.#closeError === undefined) opts.onChange?.();
      },
    };
    for (const { stream, ...identity } of opts.adopt?.contexts ?? []) {
      // What stood still belongs to this guest from now on.
      const own = opts.isResumed ? { createdAt: new Date().toISOString() } : {};
      const context = this.#add({ ...identity, ...own });
      if (stream !== null) context.adopt(stream);
    }
    for (const language of LANGUAGES) {
      if (!this.#contexts.has(language)) this.#add(this.#identity(language, { id: language }));
    }
  }

  async *run(
    request: RunCodeRequest,
    opts: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<RunEvent, void, void> {
    const context = this.#contextOf(request);
    const { signal } = opts;
    const turn = await this.#turnOf(context, signal);
    let performing: Promise<void> | undefined;
    try {
      this.#check(context);
      const starting = context.ensureKernel();
      // What was deleted meanwhile tells more than how its start ended.
      const checked = starting.finally(() => this.#check(context));
      const kernel = await abortable(checked, signal, "Running code");
      const { maxOutputBytes } = this.#deps;
      const run = new CodeRun(randomBytes(16).toString("hex"), { maxOutputBytes });
      const onAbort = (): void => {
        run.requestStop("abandoned");
        run.throwNow(abortReason(signal as AbortSignal, "Running code"));
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      performing = context.perform(kernel, run, request);
      try {
        yield* run.events;
      } finally {
        signal?.removeEventListener("abort", onAbort);
        // Of no effect when it has ended.
        run.requestStop("abandoned");
      }
    } finally {
      // What was abandoned is interrupted in the background; the next call waits for that.
      const release = (): void => turn[Symbol.dispose]();
      if (performing === undefined) release();
      else void performing.finally(release);
    }
  }

  async interrupt(contextId: string): Promise<boolean> {
    return this.#require(contextId).interrupt();
  }

  contexts(): readonly CodeContext[] {
    return [...this.#contexts.values()].map((context) => context.info);
  }

  async create(opts: {
    readonly language: Language;
    readonly workdir?: string;
    readonly env?: readonly string[];
  }): Promise<CodeContext> {
    this.#checkOpen();
    if (this.#contexts.size >= MAX_CONTEXTS + LANGUAGES.length) {
      throw new MsbError(
        "MSB_ERR_CONTEXT_LIMIT",
        `This sandbox has ${MAX_CONTEXTS} contexts besides the default ones; delete one of them first.`,
        { details: { maxContexts: MAX_CONTEXTS } },
      );
    }
    const { language, ...rest } = opts;
    checkEnv(rest.env ?? []);
    const context = this.#add(this.#identity(language, rest));
    this.#deps.onChange();
    return context.info;
  }

  async restart(contextId: string): Promise<CodeContext> {
    const context = this.#require(contextId);
    await context.restart();
    return context.info;
  }

  async delete(contextId: string): Promise<void> {
    const context = this.#require(contextId);
    if (context.info.isDefault) {
      throw new MsbError(
        "MSB_ERR_INVALID_STATE",
        `The context ${contextId} is a default one and cannot be deleted. Restart it to lose its state.`,
        { details: { contextId } },
      );
    }
    this.#contexts.delete(contextId);
    this.#deps.onChange();
    await context.delete();
  }

  async prewarm(language: Language): Promise<void> {
    await this.#require(language).ensureKernel();
  }

  snapshot(): KernelsSnapshot {
    return { contexts: [...this.#contexts.values()].map((context) => context.record) };
  }

  close(error: Error = closedError()): void {
    if (this.#closeError !== undefined) return;
    this.#closeError = error;
    for (const context of this.#contexts.values()) context.release(error);
  }

  async #turnOf({ id }: Context, signal: AbortSignal | undefined): Promise<Disposable> {
    const waiting = this.#waiting.get(id) ?? 0;
    if (waiting >= MAX_WAITING_RUNS) throw tooManyWait(id);
    this.#waiting.set(id, waiting + 1);
    try {
      return await this.#turns.lock(id, "Running code", signal);
    } finally {
      const left = (this.#waiting.get(id) ?? 1) - 1;
      if (left > 0) this.#waiting.set(id, left);
      else this.#waiting.delete(id);
    }
  }

  #add(identity: ContextIdentity): Context {
    const context = new Context(identity, this.#deps);
    this.#contexts.set(context.id, context);
    return context;
  }

  #identity(
    language: Language,
    given: { id?: string; workdir?: string; env?: readonly string[] },
  ): ContextIdentity {
    return {
      id: given.id ?? randomBytes(8).toString("hex"),
      language,
      isDefault: given.id !== undefined,
      workdir: given.workdir ?? this.#deps.opts.workdir,
      env: given.env ?? [],
      createdAt: new Date().toISOString(),
    };
  }

  #contextOf(request: RunCodeRequest): Context {
    const context = this.#require(request.contextId ?? request.language);
    if (context.language === request.language) return context;
    throw new MsbError(
      "MSB_ERR_INVALID_ARGUMENT",
      `The context ${context.id} runs ${context.language} code, not ${request.language}.`,
      { details: { contextId: context.id, language: context.language } },
    );
  }

  #require(contextId: string): Context {
    this.#checkOpen();
    const context = this.#contexts.get(contextId);
    if (context === undefined) throw contextNotFound(contextId);
    return context;
  }

  /** After a wait: what was asked for may be gone. */
  #check(context: Context): void {
    this.#checkOpen();
    if (context.isDeleted) throw contextNotFound(context.id);
  }

  #checkOpen(): void {
    if (this.#closeError !== undefined) throw this.#closeError;
  }
}

function checkEnv(env: readonly string[]): void {
  const bytes = env.reduce((sum, entry) => sum + Buffer.byteLength(entry), 0);
  if (bytes <= MAX_ENV_BYTES) return;
  throw new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    `env cannot have ${bytes} bytes: use at most ${MAX_ENV_BYTES} in all.`,
    { details: { option: "env", value: `${bytes} bytes` } },
  );
}

function tooManyWait(contextId: string): MsbError {
  return new MsbError(
    "MSB_ERR_RATE_LIMITED",
    `${MAX_WAITING_RUNS} calls wait for the context ${contextId} already. Try again when some have ended, or use ` +
      "more contexts.",
    { details: { contextId, maxWaiting: MAX_WAITING_RUNS, retryAfterSeconds: 1 } },
  );
}

function contextNotFound(contextId: string): MsbError {
  return new MsbError(
    "MSB_ERR_CONTEXT_NOT_FOUND",
    `This sandbox has no context ${contextId}. Contexts end with their sandbox; create a new one.`,
    { details: { contextId } },
  );
}

function closedError(): MsbError {
  return new MsbError("MSB_ERR_INVALID_STATE", "The sandbox has stopped, and its kernels with it.");
}
