/** One sandbox: its record in memory and on disk, its logs, and what runs of it. Who changes it holds its turn. */
import { messageOf, MsbError } from "../errors.js";
import type { Digest } from "../oci/digest.js";
import { ConsoleLog } from "./console-log.js";
import { EventLog } from "./event-log.js";
import type { SandboxDeps } from "./manager-opts.js";
import type { RecordStore } from "./record-store.js";
import { RecordWriter } from "./record-writer.js";
import type { SandboxRecord } from "./record.js";
import type { RunningSandbox } from "./running-sandbox.js";
import type { SandboxPaths } from "../paths.js";
import type {
  SandboxEvent,
  SandboxInfo,
  SandboxKey,
  SandboxSpec,
  SandboxState,
} from "./service.js";
import { keyText } from "./sandbox-name.js";
import { checkChange } from "./state.js";

export type NewEvent = Pick<SandboxEvent, "type" | "message" | "details">;
type Patch = Partial<Omit<SandboxRecord, "namespace" | "name" | "state">>;

export class Sandbox {
  readonly key: SandboxKey;
  readonly paths: SandboxPaths;
  readonly events: EventLog;
  readonly console: ConsoleLog;
  /** Aborts when it is removed. */
  readonly removed = new AbortController();
  /** Set while there is a VM that is ready. */
  running: RunningSandbox | null = null;
  /** The image that it boots or has booted last, from when it is known; its disk may be another's until it is replaced. */
  bootImage: Digest | null = null;
  /** Nothing of it was ever written: it can go as if it had never been. */
  isFresh = false;
  #record: SandboxRecord;
  readonly #writer: RecordWriter;

  constructor(
    record: SandboxRecord,
    private readonly deps: Pick<SandboxDeps, "clock" | "onNotice">,
    private readonly store: RecordStore,
  ) {
    this.key = { namespace: record.namespace, name: record.name };
    this.#record = record;
    this.paths = store.pathsOf(this.key);
    // A log that cannot be written must not keep a sandbox from running.
    const onError = (error: unknown): void => this.#warn("log", error);
    this.events = new EventLog(this.paths.events, { onError });
    this.console = new ConsoleLog(this.paths.console, { onError });
    this.#writer = new RecordWriter(store, () => this.#record);
  }

  /** One that nobody has heard of: being created, nothing on disk. */
  static fresh(
    key: SandboxKey,
    spec: SandboxSpec,
    deps: Pick<SandboxDeps, "clock" | "onNotice">,
    store: RecordStore,
  ): Sandbox {
    const record: SandboxRecord = {
      namespace: key.namespace,
      name: key.name,
      state: "creating",
      spec,
      createdAt: new Date(deps.clock.now()).toISOString(),
      startedAt: null,
      stoppedAt: null,
      stages: [],
      failure: null,
      disk: null,
      vm: null,
      kernels: null,
    };
    const sandbox = new Sandbox(record, deps, store);
    sandbox.isFresh = true;
    deps.onNotice({ kind: "state", key, from: null, to: "creating" });
    return sandbox;
  }

  get record(): SandboxRecord {
    return this.#record;
  }

  get state(): SandboxState {
    return this.#record.state;
  }

  get name(): string {
    return keyText(this.key);
  }

  get isRemoved(): boolean {
    return this.removed.signal.aborted;
  }

  nowIso(): string {
    return new Date(this.deps.clock.now()).toISOString();
  }

  /** In memory, at once; `save` takes it to disk. */
  update(patch: Patch): void {
    this.#record = { ...this.#record, ...patch };
  }

  /** As `update`, with a state that may follow; all who listen are told. */
  change(state: SandboxState, patch: Patch, event?: NewEvent): void {
    const from = this.#record.state;
    checkChange(from, state);
    this.#record = { ...this.#record, ...patch, state };
    this.deps.onNotice({ kind: "state", key: this.key, from, to: state });
    if (event !== undefined) this.event(event);
  }

  event(event: NewEvent): void {
    if (this.isRemoved) return;
    void this.events
      .add({ at: this.nowIso(), ...event })
      .then((added) => this.deps.onNotice({ kind: "event", key: this.key, event: added }));
  }

  /** Throws MSB_ERR_HOME_UNUSABLE and MSB_ERR_NO_SPACE. */
  save(): Promise<void> {
    return this.#writer.save();
  }

  /** For what has happened whether it can be written or not. */
  async saveOrWarn(): Promise<void> {
    await this.save().catch((error: unknown) => this.#warn("record", error));
  }

  /** What runs, or MSB_ERR_INVALID_STATE. */
  requireRunning(): RunningSandbox {
    if (this.running !== null && this.state === "running") return this.running;
    throw notRunning(this);
  }

  info(): SandboxInfo {
    const { spec, createdAt, startedAt, stoppedAt, stages, failure, disk, state } = this.#record;
    return {
      ...this.key,
      state,
      spec,
      imageDigest: disk?.digest ?? null,
      createdAt,
      startedAt,
      stoppedAt,
      stages,
      failure,
      vm: this.running?.info() ?? null,
    };
  }

  /** Deletes its folder. What was begun of its record and logs is waited for, and nothing is begun after. */
  async delete(): Promise<void> {
    await this.#writer.end();
    await this.flush();
    try {
      await this.store.remove(this.key);
    } catch (error) {
      this.#writer.resume();
      throw error;
    }
    this.discard();
  }

  /** It is no more; there is nothing on disk. */
  discard(): void {
    this.removed.abort();
    this.deps.onNotice({ kind: "state", key: this.key, from: this.state, to: null });
  }

  async flush(): Promise<void> {
    await Promise.all([this.events.flush(), this.console.flush()]);
  }

  #warn(what: string, error: unknown): void {
    this.deps.onNotice({
      kind: "warning",
      message: `The ${what} of the sandbox ${this.name} cannot be written: ${messageOf(error)}`,
      details: { ...this.key, what },
    });
  }
}

export function notRunning(sandbox: Sandbox): MsbError {
  const { failure } = sandbox.record;
  const why = failure === null ? "" : ` Its last run: ${failure.message}`;
  return new MsbError(
    "MSB_ERR_INVALID_STATE",
    `The sandbox ${sandbox.name} is ${sandbox.state}, not running. Start it first.${why}`,
    { details: { ...sandbox.key, state: sandbox.state } },
  );
}
