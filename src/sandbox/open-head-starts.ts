/** Templates where guests can be kept, running guests where they cannot. */
import type { Admission } from "./admission.js";
import type { HeadStart, HeadStarts, TemplateShape, TemplateSpec } from "./head-start.js";
import type { SandboxDeps } from "./manager-opts.js";
import { Templates } from "./templates.js";
import { WarmPool } from "./warm-pool.js";

export function openHeadStarts(deps: SandboxDeps, admission: Admission): HeadStarts {
  const templates = new Templates({ deps, bootTurn: (signal) => admission.bootTurn(signal) });
  return new EitherKind(templates, new WarmPool({ deps, admission }));
}

/** Each makes nothing where the other one does. */
class EitherKind implements HeadStarts {
  readonly #kinds: readonly HeadStarts[];

  constructor(...kinds: readonly HeadStarts[]) {
    this.#kinds = kinds;
  }

  take(shape: TemplateShape): HeadStart | undefined {
    for (const kind of this.#kinds) {
      const taken = kind.take(shape);
      if (taken !== undefined) return taken;
    }
    return undefined;
  }

  prepare(spec: TemplateSpec): void {
    for (const kind of this.#kinds) kind.prepare(spec);
  }

  vmIds(): readonly string[] {
    return this.#kinds.flatMap((kind) => kind.vmIds());
  }

  async close(): Promise<void> {
    await Promise.all(this.#kinds.map((kind) => kind.close()));
  }
}
