/** What is done to sandboxes, one thing at a time for each: whoever changes one waits for its turn. */
import { MsbError } from "../errors.js";
import { throwIfAborted } from "../util/async.js";
import { forEachBounded } from "../util/bounded.js";
import { KeyedMutex } from "../util/keyed-mutex.js";
import { Admission } from "./admission.js";
import type { SandboxDeps } from "./manager-opts.js";
import type { HeadStarts } from "./head-start.js";
import { openHeadStarts } from "./open-head-starts.js";
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
import { keyText } from "./sandbox-name.js";
import type {
  SandboxInfo,
  SandboxKey,
  SandboxSpec,
  SandboxSpecOpts,
  StartOpts,
  WarmedImage,
  WarmRequest,
} from "./service.js";
import { resolveSpec } from "./spec.js";
import { type StartFlight, StartFlights } from "./start-flights.js";
import { type ReadySandbox, startSandbox } from "./starter.js";
import { isActive } from "./state.js";
import { stopRun } from "./stop-run.js";
import { vmEnd } from "./vm-end.js";
import { warmImage } from "./warm-image.js";

/** Sandboxes that are taken over, stopped or let go at the same time. */
const BULK_LIMIT = 8;

/** Keys are good names already. */
export class SandboxLifecycle {
  readonly admission: Admission;
  readonly #deps: SandboxDeps;
  readonly #store: RecordStore;
  readonly #reaper: Reaper;
  readonly #headStarts: HeadStarts;
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #turns = new KeyedMutex();
  readonly #starts = new StartFlights<SandboxInfo>();
  /** Names whose folder holds a record that is no use and could not be moved away, with the reason. */
  readonly #unusable = new Map<string, string>();
  #closing: Promise<void> | undefined;

  constructor(deps: SandboxDeps) {
    this.#deps = deps;
    this.#store = new RecordStore(deps.paths);
    this.admission = new Admission(deps);
    this.#headStarts = openHeadStarts(deps, this.admission);
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

  get all(): readonly Sandbox[] {
    return [...this.#sandboxes.values()];
  }

  find(key: SandboxKey): Sandbox | undefined {
    return this.#sandboxes.get(keyText(key));
  }

  /** Throws MSB_ERR_SANDBOX_NOT_FOUND. */
  require(key: SandboxKey): Sandbox {
    const sandbox = this.#sandboxes.get(keyText(key));
    if (sandbox === undefined) throw notFound(key);
    return sandbox;
  }

  /** Takes over what an earlier server left. Throws MSB_ERR_HOME_UNUSABLE. */
  async open(): Promise<void> {
    await this.#recover();
    await this.#reaper.begin();
  }

  start(key: SandboxKey, spec: SandboxSpecOpts | null, opts: StartOpts): Promise<SandboxInfo> {
    return this.#start(key, spec, { ...opts, isCreate: false });
  }

  /** The start of a new one; when it fails, nothing is there as before. Throws MSB_ERR_SANDBOX_EXISTS. */
  async create(key: SandboxKey, spec: SandboxSpecOpts, opts: StartOpts): Promise<SandboxInfo> {
    if (this.find(key) !== undefined) throw exists(key);
    return this.#start(key, spec, { ...opts, isCreate: true });
  }

  async #start(
    key: SandboxKey,
    spec: SandboxSpecOpts | null,
    { onProgress, signal, isCreate }: StartOpts & { readonly isCreate: boolean },
  ): Promise<SandboxInfo> {
    this.#requireOpen();
    const name = keyText(key);
    // Before there is a new sandbox, which only a start that begins takes away again.
    throwIfAborted(signal, `The start of ${name}`);
    const resolved = spec === null ? null : this.#resolve(spec);
    if (!this.#sandboxes.has(name)) this.#add(key, resolved);
    return this.#starts.run(name, { what: `The start of ${name}`, onProgress, signal }, (flight) =>
      this.#startInTurn(key, spec, { ...flight, isCreate }),
    );
  }

  async stop(key: SandboxKey, opts: { readonly graceMs?: number } = {}): Promise<SandboxInfo> {
    const sandbox = this.require(key);
    const why = new MsbError(
      "MSB_ERR_ABORTED",
      `The start of ${sandbox.name} was called off by a stop.`,
    );
    this.#starts.callOff(sandbox.name, why);
    using _turn = await this.#turns.lock(sandbox.name, "The stop");
    await this.#stopInTurn(this.require(key), { ...opts, why: "by request" });
    return this.require(key).info();
  }

  async remove(key: SandboxKey, opts: { readonly force?: boolean } = {}): Promise<void> {
    const sandbox = this.require(key);
    if (opts.force !== true) {
      if (isActive(sandbox.state) && sandbox.state !== "stopping") throw mustBeStopped(sandbox);
    }
    const why = new MsbError(
      "MSB_ERR_ABORTED",
      `The start of ${sandbox.name} was called off: it is removed.`,
    );
    if (opts.force === true) this.#starts.callOff(sandbox.name, why);
    using _turn = await this.#turns.lock(sandbox.name, "The removal");
    if (this.require(key) !== sandbox) return;
    await this.#settleEnd(sandbox);
    if (opts.force !== true && isActive(sandbox.state)) throw mustBeStopped(sandbox);
    await this.#stopInTurn(sandbox, { graceMs: 0, why: "because it is removed" });
    await sandbox.delete();
    this.#forget(sandbox);
  }

  async warm(request: WarmRequest, opts: StartOpts): Promise<WarmedImage> {
    this.#requireOpen();
    const spec = this.#resolve(request);
    const { admission } = this;
    return warmImage(spec, { ...opts, deps: this.#deps, admission, headStarts: this.#headStarts });
  }

  close(opts: { readonly sandboxes: "stop" | "detach" }): Promise<void> {
    this.#closing ??= this.#close(opts.sandboxes);
    return this.#closing;
  }

  // What follows is done in the sandbox's turn, or for all of them.

  async #startInTurn(
    key: SandboxKey,
    opts: SandboxSpecOpts | null,
    flight: StartFlight & { readonly isCreate: boolean },
  ): Promise<SandboxInfo> {
    const name = keyText(key);
    using _turn = await this.#turns.lock(name, "The start");
    try {
      throwIfAborted(flight.signal, `The start of ${name}`);
      // What was there when the start was asked for may have been removed since.
      const sandbox =
        this.#sandboxes.get(name) ?? this.#add(key, opts === null ? null : this.#resolve(opts));
      await this.#settleEnd(sandbox);
      if (sandbox.running === null) await this.#boot(sandbox, opts, flight);
      return sandbox.info();
    } catch (error) {
      // Whoever called it off settles what becomes of it.
      const sandbox = flight.calledOff.aborted ? undefined : this.#sandboxes.get(name);
      if (sandbox?.isFresh === true) this.#discard(sandbox);
      else if (flight.isCreate && sandbox?.record.startedAt === null) await this.#undo(sandbox);
      throw error;
    }
  }

  /** What cannot be taken away stays as it is, and says why it failed. */
  async #undo(sandbox: Sandbox): Promise<void> {
    try {
      await sandbox.delete();
    } catch {
      return;
    }
    this.#forget(sandbox);
  }

  async #boot(
    sandbox: Sandbox,
    opts: SandboxSpecOpts | null,
    { signal, onProgress }: StartFlight,
  ): Promise<void> {
    const spec = opts === null ? sandbox.record.spec : this.#resolve(withDiskOf(sandbox, opts));
    const deps = this.#deps;
    const admission = this.admission;
    const headStarts = this.#headStarts;
    const how = { spec, signal, onProgress, deps, admission, headStarts };
    this.#run(sandbox, await startSandbox(sandbox, how));
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
    } else if (isActive(sandbox.state)) {
      // Its VM was left to the next server, and its disk is in use.
      throw shuttingDown();
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
    const admission = this.admission;
    await this.#forAll("The recovery", async (sandbox) => {
      const ready = await recoverSandbox(sandbox, { deps, admission });
      if (ready !== null) this.#run(sandbox, ready);
    });
  }

  async #close(sandboxes: "stop" | "detach"): Promise<void> {
    this.#starts.callOffAll(shuttingDown());
    await this.#reaper.end();
    await this.#headStarts.close();
    await this.#forAll("The end of the server", async (sandbox) => {
      using _turn = await this.#turns.lock(sandbox.name, "The end of the server");
      if (sandbox.isRemoved) return;
      await this.#settleEnd(sandbox);
      const { running } = sandbox;
      if (running !== null && sandboxes === "detach") await this.#detach(sandbox, running);
      else await this.#stopInTurn(sandbox, { why: "because the server ends" });
      await sandbox.flush();
    });
    await this.#starts.settled();
  }

  async #detach(sandbox: Sandbox, running: RunningSandbox): Promise<void> {
    sandbox.update({ kernels: running.kernels.snapshot() });
    sandbox.event({ type: "detached", message: "The server ends; the microVM goes on." });
    await running.detach(shuttingDown());
    sandbox.running = null;
    await sandbox.saveOrWarn();
  }

  async #forAll(what: string, work: (sandbox: Sandbox) => Promise<void>): Promise<void> {
    await forEachBounded([...this.#sandboxes.values()], { limit: BULK_LIMIT, what }, work);
  }

  #add(key: SandboxKey, spec: SandboxSpec | null): Sandbox {
    const name = keyText(key);
    const problem = this.#unusable.get(name);
    if (problem !== undefined) throw unusable(key, problem);
    if (spec === null) throw neverStarted(key);
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

  /** Throws MSB_ERR_INVALID_ARGUMENT. */
  #resolve(opts: SandboxSpecOpts): SandboxSpec {
    return resolveSpec(opts, this.#deps.limits);
  }

  #requireOpen(): void {
    if (this.#closing !== undefined) throw shuttingDown();
  }

  #vmIds(): ReadonlySet<string> {
    const ids = [...this.#sandboxes.values()].flatMap(({ record }) => record.vm?.id ?? []);
    return new Set([...ids, ...this.#headStarts.vmIds()]);
  }
}

/** Throws MSB_ERR_INVALID_ARGUMENT. */
function withDiskOf(sandbox: Sandbox, opts: SandboxSpecOpts): SandboxSpecOpts {
  const diskMiB = diskSizeFor(opts, sandbox.record.disk);
  return diskMiB === undefined ? opts : { ...opts, diskMiB };
}
