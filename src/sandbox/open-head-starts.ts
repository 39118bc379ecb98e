/** Templates where guests can be kept, running guests where they cannot. */
import { randomBytes } from "node:crypto";
import { throwIfAborted } from "../util/async.js";
import { LinkedAbort } from "../util/linked-abort.js";
import { WorkSet } from "../util/work-set.js";
import type { Admission } from "./admission.js";
import type {
  HeadStart,
  HeadStarts,
  ReadyHeadStart,
  TemplateShape,
  TemplateSpec,
  WarmOpts,
} from "./head-start.js";
import type { SandboxDeps } from "./manager-opts.js";
import { shuttingDown } from "./sandbox-errors.js";
import { configOf } from "./template.js";
import { Templates } from "./templates.js";
import { WarmPool } from "./warm-pool.js";
import { WarmSteps } from "./warm-steps.js";

export function openHeadStarts(deps: SandboxDeps, admission: Admission): HeadStarts {
  const templates = new Templates({ deps, bootTurn: (signal) => admission.bootTurn(signal) });
  return new EitherKind(deps, admission, templates, new WarmPool({ deps, admission }));
}

const WHAT = "The choice of the hypervisor";

/** Each makes nothing where the other one does. */
class EitherKind implements HeadStarts {
  readonly #closing = new AbortController();
  readonly #work = new WorkSet();

  constructor(
    private readonly deps: Pick<SandboxDeps, "guests">,
    private readonly admission: Pick<Admission, "bootTurn">,
    private readonly templates: Templates,
    private readonly pool: WarmPool,
  ) {}

  async take(shape: TemplateShape): Promise<HeadStart | undefined> {
    return (await this.templates.take(shape)) ?? this.pool.take(shape);
  }

  prepare(spec: TemplateSpec): void {
    for (const kind of this.#kinds) kind.prepare(spec);
  }

  async requireOn(): Promise<void> {
    const undecided = await this.deps.guests.undecided();
    if (undecided === null) return (await this.#usedKind()).requireOn();
    // Either may be the one; it is enough that one of them is on.
    await this.pool.requireOn().catch(() => this.templates.requireOn());
  }

  async warm(spec: TemplateSpec, opts: WarmOpts): Promise<ReadyHeadStart> {
    await this.#work.add(this.#decide(spec, opts));
    return (await this.#usedKind()).warm(spec, opts);
  }

  vmIds(): readonly string[] {
    return this.#kinds.flatMap((kind) => kind.vmIds());
  }

  async close(): Promise<void> {
    this.#closing.abort(shuttingDown());
    await this.#work.settled();
    await Promise.all(this.#kinds.map((kind) => kind.close()));
  }

  /** As the first boot of a sandbox would; the guest has nothing of its own to keep. */
  async #decide(spec: TemplateSpec, { signal, onProgress }: WarmOpts): Promise<void> {
    const undecided = await this.deps.guests.undecided();
    if (undecided === null) return;
    using either = new LinkedAbort(signal, this.#closing.signal);
    throwIfAborted(either.signal, WHAT);
    const steps = new WarmSteps(onProgress ?? (() => {}));
    using _turn = await this.admission.bootTurn(either.signal);
    steps.begin("hypervisor");
    const id = `dc-${randomBytes(6).toString("hex")}`;
    await undecided.decide(configOf(spec, { id, upperDisk: null }), either);
    steps.end();
  }

  get #kinds(): readonly HeadStarts[] {
    return [this.templates, this.pool];
  }

  async #usedKind(): Promise<HeadStarts> {
    return (await this.deps.guests.saving()) === null ? this.pool : this.templates;
  }
}
