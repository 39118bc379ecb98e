/** All sandboxes of one MSB_HOME: what the server calls. */
import type { CodeContext, RunCodeRequest, RunEvent } from "../kernel/run-types.js";
import type { Digest } from "../oci/digest.js";
import { LinkedAbort } from "../util/linked-abort.js";
import { SandboxLifecycle } from "./lifecycle.js";
import { type SandboxDeps, sandboxDeps, type SandboxManagerOpts } from "./manager-opts.js";
import type { RunningSandbox } from "./running-sandbox.js";
import { readLogs } from "./sandbox-logs.js";
import { checkKey } from "./sandbox-name.js";
import { countStates, matches, sortedInfos } from "./sandbox-list.js";
import type {
  CommandEvent,
  CommandRequest,
  CommandResult,
  CreateContextOpts,
  LogEntry,
  LogSource,
  SandboxCallOpts,
  SandboxFilter,
  SandboxInfo,
  SandboxKey,
  SandboxMetrics,
  SandboxService,
  SandboxSpecOpts,
  ServiceStatus,
  StartOpts,
  StreamCommandRequest,
  WarmedImage,
  WarmRequest,
} from "./service.js";

export class SandboxManager implements SandboxService {
  readonly #life: SandboxLifecycle;

  private constructor(private readonly deps: SandboxDeps) {
    this.#life = new SandboxLifecycle(deps);
  }

  /**
   * Takes over what an earlier server left, and is ready then. One for each MSB_HOME at a time. Throws
   * MSB_ERR_HOME_UNUSABLE; a single sandbox that cannot be taken over is `failed` and no error.
   */
  static async open(opts: SandboxManagerOpts): Promise<SandboxManager> {
    const manager = new SandboxManager(sandboxDeps(opts));
    await manager.#life.open();
    return manager;
  }

  async start(
    key: SandboxKey,
    spec: SandboxSpecOpts | null,
    opts: StartOpts = {},
  ): Promise<SandboxInfo> {
    checkKey(key);
    return this.#life.start(key, spec, opts);
  }

  async create(key: SandboxKey, spec: SandboxSpecOpts, opts: StartOpts = {}): Promise<SandboxInfo> {
    checkKey(key);
    return this.#life.create(key, spec, opts);
  }

  async stop(key: SandboxKey, opts: { readonly graceMs?: number } = {}): Promise<SandboxInfo> {
    checkKey(key);
    return this.#life.stop(key, opts);
  }

  async remove(key: SandboxKey, opts: { readonly force?: boolean } = {}): Promise<void> {
    return this.#life.remove(key, opts);
  }

  async warm(request: WarmRequest, opts: StartOpts = {}): Promise<WarmedImage> {
    return this.#life.warm(request, opts);
  }

  get(key: SandboxKey): SandboxInfo {
    return this.#life.require(key).info();
  }

  list(filter: SandboxFilter = {}): readonly SandboxInfo[] {
    const infos = this.#life.all.map((sandbox) => sandbox.info());
    return sortedInfos(infos.filter((info) => matches(info, filter)));
  }

  hasNamespace(namespace: string): boolean {
    return this.#life.all.some((sandbox) => sandbox.key.namespace === namespace);
  }

  status(): ServiceStatus {
    const states = this.#life.all.map(({ state }) => state);
    const { budget, used } = this.#life.admission;
    return { counts: countStates(states), budget, used };
  }

  async metrics(key: SandboxKey, opts: SandboxCallOpts = {}): Promise<SandboxMetrics> {
    checkKey(key);
    const sandbox = this.#life.require(key);
    const { running } = sandbox;
    const isRunning = running !== null && sandbox.state === "running";
    const usage = isRunning ? await running.sampler.sample(opts.signal) : NO_USAGE;
    // It may have ended meanwhile.
    const isStill = isRunning && sandbox.running === running && sandbox.state === "running";
    return { ...sandbox.key, running: isStill, ...(isStill ? usage : NO_USAGE) };
  }

  /** Digests of the images that sandboxes boot or have disks of: they must not be removed. */
  async imagesInUse(): Promise<ReadonlySet<Digest>> {
    const used = new Set<Digest>();
    for (const { record, bootImage } of this.#life.all) {
      if (record.disk !== null) used.add(record.disk.digest);
      if (bootImage !== null) used.add(bootImage);
    }
    return used;
  }

  async runCommand(
    key: SandboxKey,
    request: CommandRequest,
    opts: SandboxCallOpts = {},
  ): Promise<CommandResult> {
    return this.#requireRunning(key).runCommand(request, opts);
  }

  async *streamCommand(
    key: SandboxKey,
    request: StreamCommandRequest,
    opts: SandboxCallOpts = {},
  ): AsyncGenerator<CommandEvent, void, undefined> {
    yield* this.#requireRunning(key).streamCommand(request, opts);
  }

  async *runCode(
    key: SandboxKey,
    request: RunCodeRequest,
    opts: SandboxCallOpts = {},
  ): AsyncGenerator<RunEvent, void, undefined> {
    yield* this.#requireRunning(key).runCode(request, opts);
  }

  async interruptCode(key: SandboxKey, contextId: string): Promise<boolean> {
    return this.#requireRunning(key).useKernels((kernels) => kernels.interrupt(contextId));
  }

  contexts(key: SandboxKey): readonly CodeContext[] {
    return this.#requireRunning(key).kernels.contexts();
  }

  async createContext(key: SandboxKey, opts: CreateContextOpts): Promise<CodeContext> {
    return this.#requireRunning(key).useKernels((kernels) => kernels.create(opts));
  }

  async restartContext(key: SandboxKey, contextId: string): Promise<CodeContext> {
    return this.#requireRunning(key).useKernels((kernels) => kernels.restart(contextId));
  }

  async deleteContext(key: SandboxKey, contextId: string): Promise<void> {
    return this.#requireRunning(key).useKernels((kernels) => kernels.delete(contextId));
  }

  async *logs(
    key: SandboxKey,
    opts: {
      readonly sources: readonly LogSource[];
      readonly follow?: boolean;
      readonly signal?: AbortSignal;
    },
  ): AsyncGenerator<LogEntry, void, undefined> {
    const sandbox = this.#life.require(key);
    using end = new LinkedAbort(sandbox.removed.signal, opts.signal);
    const { sources, follow = false } = opts;
    const { now } = this.deps.clock;
    yield* readLogs(sandbox, { sources, follow, signal: end.signal, now });
  }

  close(opts: { readonly sandboxes: "stop" | "detach" }): Promise<void> {
    return this.#life.close(opts);
  }

  #requireRunning(key: SandboxKey): RunningSandbox {
    return this.#life.require(key).requireRunning();
  }
}

const NO_USAGE = { cpuPercent: null, memoryMiB: null, diskBytes: null, guest: null } as const;
