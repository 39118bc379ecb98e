/** The templates of a server: made in the background after a start that would have used one, the least used given up. */
import { messageOf, MsbError } from "../errors.js";
import type { BootOpts, GuestConfig, RunningGuest, SavedGuest } from "./guest-source.js";
import type { HeadStart, HeadStarts, TemplateShape, TemplateSpec } from "./head-start.js";
import { tellOfKind } from "./head-start-notice.js";
import type { SandboxDeps } from "./manager-opts.js";
import { keyOf, makeTemplate, type Template } from "./template.js";

const MIB = 1024 ** 2;
/** Of the host's memory that is left, the share that a new template may take. */
const MEMORY_SHARE = 0.5;
/** Of one kind of template, to be made or used. */
const MAX_FAILURES = 3;

export interface TemplatesOpts {
  readonly deps: SandboxDeps;
  /** Waits until nobody else wants to boot. */
  readonly bootTurn: (signal: AbortSignal) => Promise<Disposable>;
}

/** Its files are open until the last start that goes on from it has them. */
class SharedTemplate {
  #users = 0;
  #isRetired = false;

  constructor(readonly template: Template) {}

  /** What it gives ends the use. */
  use(): () => void {
    this.#users += 1;
    let isUsed = true;
    return () => {
      if (isUsed) this.#users -= 1;
      isUsed = false;
      this.#disposeUnused();
    };
  }

  retire(): void {
    this.#isRetired = true;
    this.#disposeUnused();
  }

  #disposeUnused(): void {
    if (this.#isRetired && this.#users === 0) this.template.guest.vm[Symbol.dispose]();
  }
}

export class Templates implements HeadStarts {
  /** Those used last come last. */
  readonly #ready = new Map<string, SharedTemplate>();
  /** Keys of those that are made, and of those that failed too often. */
  readonly #begun = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #closing = new AbortController();
  #work: Promise<void> = Promise.resolve();

  constructor(private readonly opts: TemplatesOpts) {}

  take(shape: TemplateShape): HeadStart | undefined {
    const key = keyOf(shape);
    const shared = this.#ready.get(key);
    if (shared === undefined) return undefined;
    this.#ready.delete(key);
    this.#ready.set(key, shared);
    const { template } = shared;
    const { spec, guest, kernels } = template;
    const giveBack = shared.use();
    return {
      spec,
      kernels,
      vmId: null,
      placeDisk: (path) => guest.vm.copyUpperDisk(path),
      start: (config, opts) => this.#resume(guest, config, opts),
      giveUp: (error) => this.#drop(shared, error),
      [Symbol.asyncDispose]: async () => giveBack(),
    };
  }

  /** One unless there is one, one after the other. */
  prepare(spec: TemplateSpec): void {
    const key = keyOf(spec);
    const { maxTemplates } = this.opts.deps;
    if (maxTemplates === 0 || this.#ready.has(key) || this.#begun.has(key)) return;
    this.#begun.add(key);
    this.#work = this.#work.then(() => this.#make(key, spec));
  }

  /** Resolves when all that was begun is made, or is known not to be. */
  async settled(): Promise<void> {
    await this.#work;
  }

  vmIds(): readonly string[] {
    return [];
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#work;
    for (const template of this.#ready.values()) template.retire();
    this.#ready.clear();
  }

  async #resume(saved: SavedGuest, config: GuestConfig, opts: BootOpts): Promise<RunningGuest> {
    const saving = await this.opts.deps.guests.saving();
    if (saving === null) throw new MsbError("MSB_ERR_INTERNAL", "No guest can be kept any more.");
    return saving.resume(saved, config, opts);
  }

  #drop(shared: SharedTemplate, error: unknown): void {
    const { spec } = shared.template;
    const key = keyOf(spec);
    if (this.#ready.get(key) !== shared) return;
    this.#ready.delete(key);
    shared.retire();
    this.#countFailure(key);
    const message = "A template could not be used, and was given up";
    this.#tell("warning", message, spec, { error: messageOf(error) });
  }

  async #make(key: string, spec: TemplateSpec): Promise<void> {
    const { signal } = this.#closing;
    if (signal.aborted) return;
    try {
      const { deps, bootTurn } = this.opts;
      const saving = await deps.guests.saving();
      if (saving === null) return;
      if (spec.memoryMiB * MIB > deps.readHostMemory().freeBytes * MEMORY_SHARE) {
        this.#begun.delete(key);
        return;
      }
      using _turn = await bootTurn(signal);
      const template = await makeTemplate(spec, saving, deps, signal);
      this.#begun.delete(key);
      this.#ready.set(key, new SharedTemplate(template));
      this.#tell("info", "A template is ready: sandboxes of its kind start quickly", spec, {
        memoryMiB: Math.round(template.guest.vm.memoryBytes / MIB),
      });
      this.#giveUpOldest();
    } catch (error) {
      if (signal.aborted) return;
      this.#countFailure(key);
      this.#tell("warning", "A template could not be made", spec, { error: messageOf(error) });
    }
  }

  /** A busy host is enough for one; what fails again and again is not tried for ever. */
  #countFailure(key: string): void {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    if (failures < MAX_FAILURES) this.#begun.delete(key);
    else this.#begun.add(key);
  }

  #giveUpOldest(): void {
    for (const [key, template] of this.#ready) {
      if (this.#ready.size <= this.opts.deps.maxTemplates) return;
      this.#ready.delete(key);
      template.retire();
    }
  }

  #tell(
    kind: "info" | "warning",
    message: string,
    spec: TemplateSpec,
    facts: Readonly<Record<string, unknown>>,
  ): void {
    tellOfKind(this.opts.deps.onNotice, kind, message, spec, facts);
  }
}
