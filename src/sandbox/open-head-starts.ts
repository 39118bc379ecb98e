/** Templates where guests can be kept, running guests where they cannot. */
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
import { Templates } from "./templates.js";
import { WarmPool } from "./warm-pool.js";

export function openHeadStarts(deps: SandboxDeps, admission: Admission): HeadStarts {
  const templates = new Templates({ deps, bootTurn: (signal) => admission.bootTurn(signal) });
  return new EitherKind(deps, templates, new WarmPool({ deps, admission }));
}

/** Each makes nothing where the other one does. */
class EitherKind implements HeadStarts {
  constructor(
    private readonly deps: Pick<SandboxDeps, "guests">,
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
    await (await this.#usedKind()).requireOn();
  }

  async warm(spec: TemplateSpec, opts: WarmOpts): Promise<ReadyHeadStart> {
    return (await this.#usedKind()).warm(spec, opts);
  }

  vmIds(): readonly string[] {
    return this.#kinds.flatMap((kind) => kind.vmIds());
  }

  async close(): Promise<void> {
    await Promise.all(this.#kinds.map((kind) => kind.close()));
  }

  get #kinds(): readonly HeadStarts[] {
    return [this.templates, this.pool];
  }

  async #usedKind(): Promise<HeadStarts> {
    return (await this.deps.guests.saving()) === null ? this.pool : this.templates;
  }
}
