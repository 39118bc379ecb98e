/** The interpreters of one running guest: types only, what a sandbox needs of them. */
import type { AgentClient } from "../agent/agent-client.js";
import type { CodeContext, Language, RunCodeRequest, RunEvent } from "./run-types.js";

/** What a later server needs to take the kernels of a guest over; JSON, kept in the sandbox's record. */
export interface KernelsSnapshot {
  readonly contexts: readonly KernelRecord[];
}

export interface KernelRecord {
  readonly id: string;
  readonly language: Language;
  readonly isDefault: boolean;
  readonly workdir: string;
  readonly env: readonly string[];
  readonly createdAt: string;
  /** The exec of its interpreter in the guest; null while there is none. */
  readonly stream: number | null;
}

export interface OpenKernelsOpts {
  /** The sandbox's environment, NAME=value: the image's and the user's. */
  readonly env: readonly string[];
  readonly workdir: string;
  readonly user: string;
  /** Of one run, all its events together. Default 64 MiB. */
  readonly maxOutputBytes?: number;
  /** Kernels that an earlier server started; what of them is gone starts anew with its next code. */
  readonly adopt?: KernelsSnapshot;
  /**
   * What is adopted goes on from a saved state, in which it had run no code, as others may do, too: it is to draw
   * random numbers of its own, and to be as new.
   */
  readonly isResumed?: boolean;
  /** Told after each change of `snapshot()`. */
  readonly onChange?: () => void;
}

export interface Kernels {
  /** See SandboxService.runCode. Calls on one context wait for each other, in order. */
  run(request: RunCodeRequest, opts?: { readonly signal?: AbortSignal }): AsyncIterable<RunEvent>;
  interrupt(contextId: string): Promise<boolean>;
  contexts(): readonly CodeContext[];
  create(opts: {
    readonly language: Language;
    readonly workdir?: string;
    readonly env?: readonly string[];
  }): Promise<CodeContext>;
  restart(contextId: string): Promise<CodeContext>;
  delete(contextId: string): Promise<void>;
  /** Starts the default interpreter ahead of its first code. Throws MSB_ERR_KERNEL_UNAVAILABLE. */
  prewarm(language: Language): Promise<void>;
  snapshot(): KernelsSnapshot;
  /** Lets go; the interpreters stay in the guest, for whoever adopts them. What runs ends with `error`. */
  close(error?: Error): void;
}

export type OpenKernels = (agent: AgentClient, opts: OpenKernelsOpts) => Promise<Kernels>;
