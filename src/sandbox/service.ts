/** What the server and the CLI see of sandboxes: types only. `SandboxManager` is the one that does it. */
import type { CodeContext, Language, RunCodeRequest, RunEvent } from "../kernel/run-types.js";
import type { DriverName } from "../hypervisor/driver.js";
import type { OnProgress } from "../util/progress.js";

export interface SandboxKey {
  readonly namespace: string;
  readonly name: string;
}

export const SANDBOX_STATES = [
  "creating",
  "booting",
  "running",
  "stopping",
  "stopped",
  "failed",
] as const;
export type SandboxState = (typeof SANDBOX_STATES)[number];

/** What was asked for, with every default filled in. */
export interface SandboxSpec {
  /** As the user wrote it. */
  readonly image: string;
  readonly memoryMiB: number;
  readonly cpus: number;
  /** Of the private disk; the guest sees "no space" beyond it. */
  readonly diskMiB: number;
  /** NAME=value, after the image's own. */
  readonly env: readonly string[];
  /** null: the image's. */
  readonly workdir: string | null;
  /** null: the image's. */
  readonly user: string | null;
  readonly labels: Readonly<Record<string, string>>;
  /** Stops a sandbox nobody has used for so long; 0: never. */
  readonly idleTimeoutMs: number;
  /** Stops a sandbox so long after its start; 0: never. */
  readonly maxLifetimeMs: number;
}

export type SandboxSpecOpts = Partial<SandboxSpec> & Pick<SandboxSpec, "image">;

/** One step of a start, in order. */
export interface StartStage {
  /** `admission`, `image`, `disk`, `vm`, `agent`, `kernel`. */
  readonly stage: string;
  readonly durationMs: number;
}

/** Why a sandbox is in state `failed`, or why its last run ended unasked. */
export interface SandboxFailure {
  readonly code: string;
  readonly message: string;
  /** ISO 8601. */
  readonly at: string;
}

export interface SandboxInfo extends SandboxKey {
  readonly state: SandboxState;
  readonly spec: SandboxSpec;
  /** The digest of the manifest; null until the image is there. */
  readonly imageDigest: string | null;
  /** ISO 8601. */
  readonly createdAt: string;
  /** When it was last ready; null if it never was. */
  readonly startedAt: string | null;
  readonly stoppedAt: string | null;
  /** Of the last start. */
  readonly stages: readonly StartStage[];
  readonly failure: SandboxFailure | null;
  /** Of the running VM; null when there is none. */
  readonly vm: {
    readonly id: string;
    readonly driver: DriverName;
    readonly pid: number;
    /** What really confines the VM's process here. */
    readonly confinement: readonly string[];
    /** When idleTimeoutMs or maxLifetimeMs will stop it, if nothing happens; ISO 8601. */
    readonly stopsAt: string | null;
  } | null;
}

export interface SandboxFilter {
  readonly namespace?: string;
  readonly states?: readonly SandboxState[];
  /** All of them must match. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** The numbers are null while the sandbox does not run. */
export interface SandboxMetrics extends SandboxKey {
  readonly running: boolean;
  /** Percent of one host core that the VM process used since the sample before; more than 100 with several vCPUs. */
  readonly cpuPercent: number | null;
  /** Resident memory of the VM process on the host. */
  readonly memoryMiB: number | null;
  /** Used on the private disk. */
  readonly diskBytes: number | null;
  /** What the guest says itself. */
  readonly guest: {
    readonly uptimeMs: number;
    readonly cpuPercent: number;
    readonly memoryUsedMiB: number;
    readonly memoryTotalMiB: number;
    readonly diskUsedBytes: number;
    readonly diskTotalBytes: number;
    readonly processes: number;
    readonly load1: number;
  } | null;
}

export interface CommandRequest {
  readonly command: string;
  readonly args: readonly string[];
  /** 0 for none. */
  readonly timeoutMs: number;
}

/** One line of output, without its end. */
export interface OutputLine {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
}

export interface CommandResult {
  /** null when a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: number | null;
  readonly oomKilled: boolean;
  /** In order of arrival. */
  readonly lines: readonly OutputLine[];
}

export interface StreamCommandRequest extends CommandRequest {
  /** NAME=value, after the sandbox's own. */
  readonly env?: readonly string[];
  /** Default: the sandbox's. */
  readonly workdir?: string;
  /** Default: the sandbox's. */
  readonly user?: string;
  /** Default: nothing, the program finds the end of its input at once. */
  readonly stdin?: Uint8Array;
}

/** `exited`: by itself. `killed`: by a signal. `timeout`: by its timeout. `outOfMemory`: by its guest's kernel. */
export const COMMAND_END_REASONS = ["exited", "killed", "timeout", "outOfMemory"] as const;
export type CommandEndReason = (typeof COMMAND_END_REASONS)[number];

/** In order of arrival; `end` comes last, once. */
export type CommandEvent =
  | { readonly type: "stdout" | "stderr"; readonly data: Uint8Array }
  | {
      readonly type: "end";
      readonly reason: CommandEndReason;
      /** null when a signal ended it. */
      readonly exitCode: number | null;
      readonly signal: number | null;
      readonly durationMs: number;
    };

/** What happened to a sandbox. */
export interface SandboxEvent {
  /** Grows by one with each event of a sandbox, also over restarts of the server. */
  readonly seq: number;
  /** ISO 8601. */
  readonly at: string;
  /** Such as `created`, `booting`, `running`, `stopped`, `failed`, `adopted`, `disk-replaced`. */
  readonly type: string;
  readonly message: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

export type LogSource = "events" | "console";
export type LogEntry =
  | { readonly source: "events"; readonly event: SandboxEvent }
  | { readonly source: "console"; readonly text: string };

/** What is allowed and what is used. */
export interface ServiceStatus {
  readonly counts: Readonly<Record<SandboxState, number>>;
  readonly budget: Budget;
  /** By sandboxes that are booting, running or stopping. */
  readonly used: Budget;
}

export interface Budget {
  readonly sandboxes: number;
  readonly memoryMiB: number;
  readonly vcpus: number;
}

export interface SandboxCallOpts {
  readonly signal?: AbortSignal;
}

export interface StartOpts extends SandboxCallOpts {
  /** Of the image. */
  readonly onProgress?: OnProgress;
}

/** What is made ready is for sandboxes that have all of it in common. */
export type WarmRequest = Pick<SandboxSpecOpts, "image" | "memoryMiB" | "cpus" | "diskMiB">;

export interface WarmedImage extends Required<WarmRequest> {
  readonly imageDigest: string;
  /** `template`: a guest that is kept as it is. `guest`: one that runs, and is handed out once. */
  readonly headStart: "template" | "guest";
  /** It was there before. */
  readonly wasReady: boolean;
  /** What of the host's memory a template takes; null for a guest. */
  readonly keptBytes: number | null;
}

/** All methods throw MsbError; those with a key MSB_ERR_SANDBOX_NOT_FOUND. */
export interface SandboxService {
  /**
   * Makes the sandbox run; answers when it is ready. `spec` replaces the stored one as a whole; null takes the
   * stored one. A running sandbox is left as it is. Calls for one sandbox are one start.
   */
  start(key: SandboxKey, spec: SandboxSpecOpts | null, opts?: StartOpts): Promise<SandboxInfo>;
  /** As `start`, for a name that must be free: MSB_ERR_SANDBOX_EXISTS. One that fails leaves no sandbox. */
  create(key: SandboxKey, spec: SandboxSpecOpts, opts?: StartOpts): Promise<SandboxInfo>;
  /** Answers when the VM is gone and its disks are free. Stopping what does not run is no error. */
  stop(key: SandboxKey, opts?: { readonly graceMs?: number }): Promise<SandboxInfo>;
  /** Deletes the sandbox and its disk. A running one is stopped first with `force`, else MSB_ERR_INVALID_STATE. */
  remove(key: SandboxKey, opts?: { readonly force?: boolean }): Promise<void>;
  /**
   * Makes ready what the next sandbox of this kind starts from; answers when that is there. Calls for one kind are one
   * work, which is called off when nobody waits for it any more. Throws MSB_ERR_INVALID_STATE, with the option, where
   * there is no such thing, and MSB_ERR_TOO_MANY_SANDBOXES when there is no memory for it.
   */
  warm(request: WarmRequest, opts?: StartOpts): Promise<WarmedImage>;

  get(key: SandboxKey): SandboxInfo;
  /** Sorted by namespace and name. */
  list(filter?: SandboxFilter): readonly SandboxInfo[];
  hasNamespace(namespace: string): boolean;
  status(): ServiceStatus;
  metrics(key: SandboxKey, opts?: SandboxCallOpts): Promise<SandboxMetrics>;

  /**
   * Runs a program to its end. Throws MSB_ERR_EXEC_FAILED when it cannot be started, MSB_ERR_EXEC_TIMEOUT,
   * MSB_ERR_OUTPUT_LIMIT, and MSB_ERR_INVALID_STATE when the sandbox does not run.
   */
  runCommand(
    key: SandboxKey,
    request: CommandRequest,
    opts?: SandboxCallOpts,
  ): Promise<CommandResult>;
  /**
   * Runs a program when it is iterated, as fast as its output is read; it may write as much as it likes. An aborted
   * signal, or a reader that stops early, kills it. Throws MSB_ERR_EXEC_FAILED and MSB_ERR_INVALID_STATE.
   */
  streamCommand(
    key: SandboxKey,
    request: StreamCommandRequest,
    opts?: SandboxCallOpts,
  ): AsyncIterable<CommandEvent>;
  /**
   * Runs code when it is iterated. An aborted signal, or a reader that stops early, interrupts the code. Throws
   * MSB_ERR_KERNEL_UNAVAILABLE, MSB_ERR_CONTEXT_NOT_FOUND, MSB_ERR_OUTPUT_LIMIT, and MSB_ERR_RATE_LIMITED when too
   * many calls wait for the context; what the code itself does is events.
   */
  runCode(
    key: SandboxKey,
    request: RunCodeRequest,
    opts?: SandboxCallOpts,
  ): AsyncIterable<RunEvent>;
  /** Ends what runs in a context, as Ctrl-C would; false when nothing runs. */
  interruptCode(key: SandboxKey, contextId: string): Promise<boolean>;
  contexts(key: SandboxKey): readonly CodeContext[];
  createContext(key: SandboxKey, opts: CreateContextOpts): Promise<CodeContext>;
  /** Ends its interpreter; the next code gets a new one. */
  restartContext(key: SandboxKey, contextId: string): Promise<CodeContext>;
  /** A default context cannot be deleted: MSB_ERR_INVALID_STATE. */
  deleteContext(key: SandboxKey, contextId: string): Promise<void>;

  /** What is kept, oldest first; with `follow` also what comes, until the signal aborts or the sandbox is removed. */
  logs(
    key: SandboxKey,
    opts: {
      readonly sources: readonly LogSource[];
      readonly follow?: boolean;
      readonly signal?: AbortSignal;
    },
  ): AsyncIterable<LogEntry>;

  /**
   * No sandbox can be started any more; `stop` ends all, `detach` leaves them to the next server. The first call
   * decides, later ones wait for it. What was left to the next server is its to stop: MSB_ERR_SHUTTING_DOWN.
   */
  close(opts: { readonly sandboxes: "stop" | "detach" }): Promise<void>;
}

export interface CreateContextOpts {
  readonly language: Language;
  readonly workdir?: string;
  readonly env?: readonly string[];
}
