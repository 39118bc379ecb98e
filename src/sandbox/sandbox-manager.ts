/** All sandboxes of one MSB_HOME: whoever does something to one waits for its turn, so that nothing happens twice. */
import { MsbError } from "../errors.js";
import type { CodeContext, RunCodeRequest, RunEvent } from "../kernel/run-types.js";
import type { Digest } from "../oci/digest.js";
import { throwIfAborted } from "../util/async.js";
import { forEachBounded } from "../util/bounded.js";
import { KeyedMutex } from "../util/keyed-mutex.js";
import { LinkedAbort } from "../util/linked-abort.js";
import { Admission } from "./admission.js";
import { type SandboxDeps, sandboxDeps, type SandboxManagerOpts } from "./manager-opts.js";
import { diskSizeFor } from "./private-disk.js";
import { Reaper } from "./reaper.js";
import { describeBroken, RecordStore } from "./record-store.js";
import { recoverSandbox } from "./recovery.js";
import { RunningSandbox } from "./running-sandbox.js";
import {
  exists,
  mustBeStopped,
  neverStarted,
  notFound,
  shuttingDown,
  unusable,
} from "./sandbox-errors.js";
import { Sandbox } from "./sandbox.js";
import { readLogs } from "./sandbox-logs.js";
import { checkKey, keyText } from "./sandbox-name.js";
import { countStates, matches, sortedInfos } from "./sandbox-list.js";
import type {
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
  SandboxSpec,
  SandboxSpecOpts,
  ServiceStatus,
  StartOpts,
} from "./service.js";
import { resolveSpec } from "./spec.js";
import { type StartFlight, StartFlights } from "./start-flights.js";
import { type ReadySandbox, startSandbox } from "./starter.js";
import { isActive } from "./state.js";
import { stopRun } from "./stop-run.js";
import { vmEnd } from "./vm-end.js";

/** Sandboxes that are taken over, stopped or let go at the same time. */
const BULK_LIMIT = 8;

export class SandboxManager implements SandboxService {
  readonly #deps: SandboxDeps;
  readonly #store: RecordStore;
  readonly #admission: Admission;
  readonly #reaper: Reaper;
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #turns = new KeyedMutex();
  readonly #starts = new StartFlights<SandboxInfo>();
  /** Names whose folder holds a record that is no use and could not be moved away, with the reason. */
  readonly #unusable = new Map<string, string>();
  #closing: Promise<void> | undefined;

  private constructor(deps: SandboxDeps) {
    this.#deps = deps;
    this.#store = new RecordStore(deps.paths);
    this.#admission = new Admission(deps);
    this.#reaper = new Reaper({
      guests: deps.guests,
      store: this.#store,
      clock: deps.clock,
      onNotice: deps.onNotice,
      knownVms: () => this.#vmIds(),
      isKnown: (key) => this.#sandboxes.has(keyText(key)),
      inTurn: async (key, work) => {
        using _turn = await this.#turns.lock(keyText(key), "The sweep");
        await work();
      },
    });
  }

  /**
   * Takes over what an earlier server left, and is ready then. One for each MSB_HOME at a time. Throws
   * MSB_ERR_HOME_UNUSABLE; a single sandbox that cannot be taken over is `failed` and no error.
   */
  static async open(opts: SandboxManagerOpts): Promise<SandboxManager> {
    const manager = new SandboxManager(sandboxDeps(opts));
    await manager.#recover();
    await manager.#reaper.begin();
    return manager;
  }

  async start(
    key: SandboxKey,
    spec: SandboxSpecOpts | null,
    opts: StartOpts = {},
  ): Promise<SandboxInfo> {
    checkKey(key);
    this.#requireOpen();
    const name = keyText(key);
    const resolved = spec === null ? null : resolveSpec(spec);
    if (!this.#sandboxes.has(name)) this.#add(key, resolved);
    const { onProgress, signal } = opts;
    return this.#starts.run(name, { what: `The start of ${name}`, onProgress, signal }, (flight) =>
      this.#startInTurn(key, spec, flight),
    );
  }

  async create(key: SandboxKey, spec: SandboxSpecOpts, opts: StartOpts = {}): Promise<SandboxInfo> {
    checkKey(key);
    if (this.#sandboxes.has(keyText(key))) throw exists(key);
    return this.start(key, spec, opts);
  }

  async stop(key: SandboxKey, opts: { readonly graceMs?: number } = {}): Promise<SandboxInfo> {
    checkKey(key);
    const sandbox = this.#require(key);
    const why = new MsbError(
      "MSB_ERR_ABORTED",
      `The start of ${sandbox.name} was called off by a stop.`,
    );
    this.#starts.callOff(sandbox.name, why);
    using _turn = await this.#turns.lock(sandbox.name, "The stop");
    await this.#stopInTurn(this.#require(key), { ...opts, why: "by request" });
    return this.#require(key).info();
  }

  async remove(key: SandboxKey, opts: { readonly force?: boolean } = {}): Promise<void> {
    const sandbox = this.#require(key);
    if (opts.force !== true) {
      if (isActive(sandbox.state) && sandbox.state !== "stopping") throw mustBeStopped(sandbox);
    }
    const why = new MsbError(
      "MSB_ERR_ABORTED",
      `The start of ${sandbox.name} was called off: it is removed.`,
    );
    if (opts.force === true) this.#starts.callOff(sandbox.name, why);
    using _turn = await this.#turns.lock(sandbox.name, "The removal");
    if (this.#require(key) !== sandbox) return;
    await this.#settleEnd(sandbox);
    if (opts.force !== true && isActive(sandbox.state)) throw mustBeStopped(sandbox);
    await this.#stopInTurn(sandbox, { graceMs: 0, why: "because it is removed" });
    await sandbox.delete();
    this.#forget(sandbox);
  }

  get(key: SandboxKey): SandboxInfo {
    return this.#require(key).info();
  }

  list(filter: SandboxFilter = {}): readonly SandboxInfo[] {
    const infos = [...this.#sandboxes.values()].map((sandbox) => sandbox.info());
    return sortedInfos(infos.filter((info) => matches(info, filter)));
  }

  hasNamespace(namespace: string): boolean {
    return [...this.#sandboxes.values()].some((sandbox) => sandbox.key.namespace === namespace);
  }

  status(): ServiceStatus {
    const states = [...this.#sandboxes.values()].map(({ state }) => state);
    const { budget, used } = this.#admission;
    return { counts: countStates(states), budget, used };
  }

  async metrics(key: SandboxKey, opts: SandboxCallOpts = {}): Promise<SandboxMetrics> {
    checkKey(key);
    const sandbox = this.#require(key);
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
    for (const { record, bootImage } of this.#sandboxes.values()) {
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
    const sandbox = this.#require(key);
    using end = new LinkedAbort(sandbox.removed.signal, opts.signal);
    const { sources, follow = false } = opts;
    const { now } = this.#deps.clock;
    yield* readLogs(sandbox, { sources, follow, signal: end.signal, now });
  }

  close(opts: { readonly sandboxes: "stop" | "detach" }): Promise<void> {
    this.#closing ??= this.#close(opts.sandboxes);
    return this.#closing;
  }

  // What follows is done in the sandbox's turn.

  async #startInTurn(
    key: SandboxKey,
    opts: SandboxSpecOpts | null,
    flight: StartFlight,
  ): Promise<SandboxInfo> {
    const name = keyText(key);
    using _turn = await this.#turns.lock(name, "The start");
    try {
      throwIfAborted(flight.signal, `The start of ${name}`);
      // What was there when the start was asked for may have been removed since.
      const sandbox =
        this.#sandboxes.get(name) ?? this.#add(key, opts === null ? null : resolveSpec(opts));
      await this.#settleEnd(sandbox);
      if (sandbox.running === null) await this.#boot(sandbox, opts, flight);
      return sandbox.info();
    } catch (error) {
      // Whoever called it off settles what becomes of it.
      const sandbox = this.#sandboxes.get(name);
      if (sandbox?.isFresh === true && !flight.calledOff.aborted) this.#discard(sandbox);
      throw error;
    }
  }

  async #boot(
    sandbox: Sandbox,
    opts: SandboxSpecOpts | null,
    { signal, onProgress }: StartFlight,
  ): Promise<void> {
    const spec = opts === null ? sandbox.record.spec : specFor(opts, sandbox);
    const deps = this.#deps;
    const admission = this.#admission;
    this.#run(sandbox, await startSandbox(sandbox, { spec, signal, onProgress, deps, admission }));
  }

  /** From now on it has a run, until that ends. */
  #run(sandbox: Sandbox, ready: ReadySandbox): void {
    const inTurn = async (work: () => Promise<void>): Promise<void> => {
      using _turn = await this.#turns.lock(sandbox.name, "The end");
      if (sandbox.running === running && sandbox.state === "running") await work();
    };
    const running: RunningSandbox = new RunningSandbox({
      ...ready,
      name: sandbox.name,
      deps: this.#deps,
      onDeadline: () => void inTurn(() => this.#expire(sandbox, running)),
    });
    sandbox.running = running;
    void running.guest.vm.exited.then(() => inTurn(() => this.#settleEnd(sandbox)));
  }

  /** Stops it if its time is still up when it has its turn. */
  async #expire(sandbox: Sandbox, running: RunningSandbox): Promise<void> {
    const { due } = running;
    if (due === undefined || running.exit !== undefined) return;
    const message =
      due === "idle-timeout"
        ? `Nobody has used the sandbox for ${sandbox.record.spec.idleTimeoutMs} ms; it is stopped.`
        : `The sandbox has run for ${sandbox.record.spec.maxLifetimeMs} ms; it is stopped.`;
    sandbox.event({ type: due, message });
    await this.#stopInTurn(sandbox, { why: `(${due})` });
  }

  async #stopInTurn(
    sandbox: Sandbox,
    opts: { readonly graceMs?: number; readonly why: string },
  ): Promise<void> {
    await this.#settleEnd(sandbox);
    if (sandbox.running !== null) {
      await stopRun(sandbox, sandbox.running, { ...opts, guests: this.#deps.guests });
    } else if (sandbox.state === "creating") {
      // Its start was called off before it began.
      sandbox.isFresh = false;
      const event = { type: "stopped", message: `The sandbox is stopped ${opts.why}.` };
      sandbox.change("stopped", { stoppedAt: sandbox.nowIso() }, event);
      await sandbox.saveOrWarn();
    }
  }

  /** Takes note of a VM that ended unasked. */
  async #settleEnd(sandbox: Sandbox): Promise<void> {
    const { running } = sandbox;
    if (running?.exit === undefined || sandbox.state !== "running") return;
    const at = sandbox.nowIso();
    const end = vmEnd(running.exit, at);
    sandbox.running = null;
    const patch = { vm: null, kernels: null, stoppedAt: at, failure: end.failure };
    sandbox.change(end.state, patch, end.event);
    await running.release();
    await sandbox.saveOrWarn();
  }

  async #recover(): Promise<void> {
    const { records, broken } = await this.#store.load();
    for (const one of broken) {
      const message = describeBroken(one);
      if (one.setAside === null) this.#unusable.set(keyText(one), message);
      this.#deps.onNotice({ kind: "warning", message, details: { ...one } });
    }
    for (const record of records) {
      const sandbox = new Sandbox(record, this.#deps, this.#store);
      this.#sandboxes.set(sandbox.name, sandbox);
    }
    const deps = this.#deps;
    const admission = this.#admission;
    await this.#forAll("The recovery", async (sandbox) => {
      const ready = await recoverSandbox(sandbox, { deps, admission });
      if (ready !== null) this.#run(sandbox, ready);
    });
  }

  async #close(sandboxes: "stop" | "detach"): Promise<void> {
    this.#starts.callOffAll(shuttingDown());
    await this.#reaper.end();
    await this.#forAll("The end of the server", async (sandbox) => {
      using _turn = await this.#turns.lock(sandbox.name, "The end of the server");
      if (sandbox.isRemoved) return;
      await this.#settleEnd(sandbox);
      if (sandboxes === "stop" || sandbox.running === null) {
        await this.#stopInTurn(sandbox, { why: "because the server ends" });
      } else {
        const { running } = sandbox;
        sandbox.update({ kernels: running.kernels.snapshot() });
        sandbox.event({ type: "detached", message: "The server ends; the microVM goes on." });
        await running.detach(shuttingDown());
        sandbox.running = null;
        await sandbox.saveOrWarn();
      }
      await sandbox.flush();
    });
    await this.#starts.settled();
  }

  async #forAll(what: string, work: (sandbox: Sandbox) => Promise<void>): Promise<void> {
    await forEachBounded([...this.#sandboxes.values()], { limit: BULK_LIMIT, what }, work);
  }

  #add(key: SandboxKey, spec: SandboxSpec | null): Sandbox {
    const name = keyText(key);
    const problem = this.#unusable.get(name);
    if (problem !== undefined) throw unusable(key, problem);
    if (spec === null) throw neverStarted(key, this.hasNamespace(key.namespace));
    const sandbox = Sandbox.fresh(key, spec, this.#deps, this.#store);
    this.#sandboxes.set(name, sandbox);
    return sandbox;
  }

  #discard(sandbox: Sandbox): void {
    sandbox.discard();
    this.#forget(sandbox);
  }

  #forget(sandbox: Sandbox): void {
    if (this.#sandboxes.get(sandbox.name) === sandbox) this.#sandboxes.delete(sandbox.name);
  }

  #require(key: SandboxKey): Sandbox {
    const sandbox = this.#sandboxes.get(keyText(key));
    if (sandbox === undefined) throw notFound(key);
    return sandbox;
  }

  #requireRunning(key: SandboxKey): RunningSandbox {
    return this.#require(key).requireRunning();
  }

  #requireOpen(): void {
    if (this.#closing !== undefined) throw shuttingDown();
  }

  #vmIds(): ReadonlySet<string> {
    const ids = [...this.#sandboxes.values()].flatMap(({ record }) => record.vm?.id ?? []);
    return new Set(ids);
  }
}

const NO_USAGE = { cpuPercent: null, memoryMiB: null, diskBytes: null, guest: null } as const;

/** Throws MSB_ERR_INVALID_ARGUMENT. */
function specFor(opts: SandboxSpecOpts, sandbox: Sandbox): SandboxSpec {
  const diskMiB = diskSizeFor(opts, sandbox.record.disk);
  return resolveSpec(diskMiB === undefined ? opts : { ...opts, diskMiB });
}
