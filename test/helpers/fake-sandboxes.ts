/** Sandboxes in memory: what is asked of them is recorded, how long it takes and how it ends is up to the test. */
import { MsbError } from "../../src/errors.js";
import type { CodeContext, RunCodeRequest, RunEvent } from "../../src/kernel/run-types.js";
import {
  type CommandEvent,
  type CommandRequest,
  type CommandResult,
  type CreateContextOpts,
  type LogEntry,
  type LogSource,
  SANDBOX_STATES,
  type SandboxCallOpts,
  type SandboxFilter,
  type SandboxInfo,
  type SandboxKey,
  type SandboxMetrics,
  type SandboxService,
  type SandboxSpecOpts,
  type SandboxState,
  type ServiceStatus,
  type StartOpts,
  type StreamCommandRequest,
  type WarmedImage,
  type WarmRequest,
} from "../../src/sandbox/service.js";
import { abortable, deferred } from "../../src/util/async.js";

const NOW = "2026-01-01T00:00:00.000Z";

export function fakeSandbox(key: SandboxKey, opts: Partial<SandboxInfo> = {}): SandboxInfo {
  return {
    ...key,
    state: "running",
    spec: {
      image: "python",
      memoryMiB: 512,
      cpus: 1,
      diskMiB: 4096,
      env: [],
      workdir: null,
      user: null,
      labels: {},
      idleTimeoutMs: 0,
      maxLifetimeMs: 0,
    },
    imageDigest: `sha256:${"a".repeat(64)}`,
    createdAt: NOW,
    startedAt: NOW,
    stoppedAt: null,
    stages: [{ stage: "vm", durationMs: 120 }],
    failure: null,
    vm: { id: "vm-1", driver: "qemu", pid: 4242, confinement: ["landlock"], stopsAt: null },
    ...opts,
  };
}

export const END: RunEvent = {
  type: "end",
  status: "success",
  reason: "completed",
  durationMs: 5,
  stateLost: false,
};

export const EXITED: CommandEvent = {
  type: "end",
  reason: "exited",
  exitCode: 0,
  signal: null,
  durationMs: 5,
};

type Method = keyof SandboxService;

export class FakeSandboxes implements SandboxService {
  readonly calls: { readonly method: Method; readonly args: readonly unknown[] }[] = [];
  /** What a method is to do before it succeeds: throw, or wait. */
  readonly before: Partial<Record<Method, (...args: never[]) => Promise<void> | void>> = {};

  readonly stored = new Map<string, SandboxInfo>();
  readonly namespaces = new Set<string>();

  /** What code does; default is nothing, with success. */
  run: (request: RunCodeRequest, opts: SandboxCallOpts) => AsyncIterable<RunEvent> =
    async function* () {
      yield END;
    };
  command: (request: CommandRequest) => CommandResult = () => ({
    exitCode: 0,
    signal: null,
    oomKilled: false,
    lines: [],
  });
  /** What a streamed command does; default is nothing, with success. */
  stream: (request: StreamCommandRequest, opts: SandboxCallOpts) => AsyncIterable<CommandEvent> =
    async function* () {
      yield EXITED;
    };
  entries: LogEntry[] = [];
  metricsOf: Partial<SandboxMetrics> = {};
  /** What is ready when `warm` answers. */
  warmed: Partial<WarmedImage> = {};
  contextsOf: CodeContext[] = [
    {
      id: "python",
      language: "python",
      isDefault: true,
      state: "idle",
      workdir: "/",
      env: [],
      createdAt: NOW,
    },
  ];

  /** Followers of logs, runs and streamed commands that were begun and have not ended. */
  open = 0;
  #more = deferred<void>();

  add(namespace: string, name: string, opts: Partial<SandboxInfo> = {}): SandboxInfo {
    const info = fakeSandbox({ namespace, name }, opts);
    this.namespaces.add(namespace);
    this.stored.set(`${namespace}/${name}`, info);
    return info;
  }

  /** For all who follow logs. */
  log(...entries: LogEntry[]): void {
    this.entries.push(...entries);
    this.#more.resolve();
    this.#more = deferred();
  }

  async start(
    key: SandboxKey,
    spec: SandboxSpecOpts | null,
    opts: StartOpts = {},
  ): Promise<SandboxInfo> {
    await this.#does("start", [key, spec, opts], opts.signal);
    const known = this.stored.get(text(key));
    if (spec === null) return this.#put({ ...this.get(key), state: "running" });
    const { spec: defaults } = fakeSandbox(key);
    return known?.state === "running"
      ? known
      : this.add(key.namespace, key.name, { spec: { ...defaults, ...spec } });
  }

  async create(key: SandboxKey, spec: SandboxSpecOpts, opts: StartOpts = {}): Promise<SandboxInfo> {
    await this.#does("create", [key, spec, opts], opts.signal);
    if (this.stored.has(text(key))) {
      throw new MsbError("MSB_ERR_SANDBOX_EXISTS", `There is a sandbox ${text(key)}.`);
    }
    const { spec: defaults } = fakeSandbox(key);
    return this.add(key.namespace, key.name, { spec: { ...defaults, ...spec } });
  }

  async stop(key: SandboxKey, opts: { readonly graceMs?: number } = {}): Promise<SandboxInfo> {
    await this.#does("stop", [key, opts]);
    return this.#put({ ...this.get(key), state: "stopped", vm: null, stoppedAt: NOW });
  }

  async remove(key: SandboxKey, opts: { readonly force?: boolean } = {}): Promise<void> {
    await this.#does("remove", [key, opts]);
    const { state } = this.get(key);
    if (state === "running" && opts.force !== true) {
      throw new MsbError("MSB_ERR_INVALID_STATE", `Sandbox ${text(key)} is running.`);
    }
    this.stored.delete(text(key));
  }

  async warm(request: WarmRequest, opts: StartOpts = {}): Promise<WarmedImage> {
    await this.#does("warm", [request, opts], opts.signal);
    return {
      imageDigest: `sha256:${"a".repeat(64)}`,
      memoryMiB: 1024,
      cpus: 1,
      diskMiB: 4096,
      ...request,
      headStart: "template",
      wasReady: false,
      keptBytes: 81e6,
      ...this.warmed,
    };
  }

  get(key: SandboxKey): SandboxInfo {
    const info = this.stored.get(text(key));
    if (info !== undefined) return info;
    throw new MsbError("MSB_ERR_SANDBOX_NOT_FOUND", `There is no sandbox ${text(key)}.`);
  }

  list(filter: SandboxFilter = {}): readonly SandboxInfo[] {
    this.calls.push({ method: "list", args: [filter] });
    const { namespace, states, labels = {} } = filter;
    return [...this.stored.values()].filter(
      (info) =>
        (namespace === undefined || info.namespace === namespace) &&
        (states === undefined || states.includes(info.state)) &&
        Object.entries(labels).every(([name, value]) => info.spec.labels[name] === value),
    );
  }

  hasNamespace(namespace: string): boolean {
    return this.namespaces.has(namespace);
  }

  status(): ServiceStatus {
    const states = [...this.stored.values()].map(({ state }) => state);
    const counts = SANDBOX_STATES.map((state): [SandboxState, number] => [
      state,
      states.filter((one) => one === state).length,
    ]);
    const running = states.filter((state) => state === "running").length;
    return {
      counts: Object.fromEntries(counts) as Record<SandboxState, number>,
      budget: { sandboxes: 8, memoryMiB: 8192, vcpus: 8 },
      used: { sandboxes: running, memoryMiB: running * 512, vcpus: running },
    };
  }

  async metrics(key: SandboxKey, opts: SandboxCallOpts = {}): Promise<SandboxMetrics> {
    await this.#does("metrics", [key, opts], opts.signal);
    const running = this.get(key).state === "running";
    return {
      namespace: key.namespace,
      name: key.name,
      running,
      cpuPercent: running ? 12.5 : null,
      memoryMiB: running ? 118.7 : null,
      diskBytes: running ? 10_485_760.9 : null,
      guest: null,
      ...this.metricsOf,
    };
  }

  async runCommand(
    key: SandboxKey,
    request: CommandRequest,
    opts: SandboxCallOpts = {},
  ): Promise<CommandResult> {
    await this.#does("runCommand", [key, request, opts], opts.signal);
    this.get(key);
    return this.command(request);
  }

  async *streamCommand(
    key: SandboxKey,
    request: StreamCommandRequest,
    opts: SandboxCallOpts = {},
  ): AsyncGenerator<CommandEvent> {
    await this.#does("streamCommand", [key, request, opts], opts.signal);
    this.get(key);
    this.open++;
    try {
      yield* this.stream(request, opts);
    } finally {
      this.open--;
    }
  }

  async *runCode(
    key: SandboxKey,
    request: RunCodeRequest,
    opts: SandboxCallOpts = {},
  ): AsyncGenerator<RunEvent> {
    await this.#does("runCode", [key, request, opts], opts.signal);
    this.get(key);
    this.open++;
    try {
      yield* this.run(request, opts);
    } finally {
      this.open--;
    }
  }

  async interruptCode(key: SandboxKey, contextId: string): Promise<boolean> {
    await this.#does("interruptCode", [key, contextId]);
    this.get(key);
    return true;
  }

  contexts(key: SandboxKey): readonly CodeContext[] {
    this.get(key);
    return this.contextsOf;
  }

  async createContext(key: SandboxKey, opts: CreateContextOpts): Promise<CodeContext> {
    await this.#does("createContext", [key, opts]);
    this.get(key);
    const context: CodeContext = {
      id: `c${this.contextsOf.length}`,
      isDefault: false,
      state: "absent",
      workdir: "/",
      env: [],
      createdAt: NOW,
      ...opts,
    };
    this.contextsOf.push(context);
    return context;
  }

  async restartContext(key: SandboxKey, contextId: string): Promise<CodeContext> {
    await this.#does("restartContext", [key, contextId]);
    this.get(key);
    const found = this.contextsOf.find(({ id }) => id === contextId);
    if (found !== undefined) return { ...found, state: "absent" };
    throw new MsbError("MSB_ERR_CONTEXT_NOT_FOUND", `There is no context ${contextId}.`);
  }

  async deleteContext(key: SandboxKey, contextId: string): Promise<void> {
    await this.#does("deleteContext", [key, contextId]);
    this.contextsOf = this.contextsOf.filter(({ id }) => id !== contextId);
  }

  async *logs(
    key: SandboxKey,
    opts: {
      readonly sources: readonly LogSource[];
      readonly follow?: boolean;
      readonly signal?: AbortSignal;
    },
  ): AsyncGenerator<LogEntry> {
    await this.#does("logs", [key, opts]);
    this.get(key);
    this.open++;
    try {
      for (let at = 0; ;) {
        const more = this.#more.promise;
        for (; at < this.entries.length; at++) {
          const entry = this.entries[at]!;
          if (opts.sources.includes(entry.source)) yield entry;
        }
        if (opts.follow !== true || opts.signal?.aborted) return;
        await abortable(more, opts.signal, "Following").catch(() => {});
      }
    } finally {
      this.open--;
    }
  }

  async close(opts: { readonly sandboxes: "stop" | "detach" }): Promise<void> {
    await this.#does("close", [opts]);
  }

  #put(info: SandboxInfo): SandboxInfo {
    this.stored.set(text(info), info);
    return info;
  }

  async #does(method: Method, args: readonly unknown[], signal?: AbortSignal): Promise<void> {
    this.calls.push({ method, args });
    const work = Promise.resolve(this.before[method]?.(...(args as never[])));
    await abortable(work, signal, method);
  }
}

function text({ namespace, name }: SandboxKey): string {
  return `${namespace}/${name}`;
}
