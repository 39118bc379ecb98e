/** The templates of a server: made in the background after a start that would have used one, the least used given up. */
import { freemem } from "node:os";
import { messageOf } from "../errors.js";
import type { SandboxDeps } from "./manager-opts.js";
import { makeTemplate, type Template, type TemplateShape, type TemplateSpec } from "./template.js";

const MIB = 1024 ** 2;
/** Of the host's memory that is left, the share that a new template may take. */
const MEMORY_SHARE = 0.5;

export interface TemplatesOpts {
  readonly deps: SandboxDeps;
  /** Waits until nobody else wants to boot. */
  readonly bootTurn: (signal: AbortSignal) => Promise<Disposable>;
}

export interface TakenTemplate extends Disposable {
  readonly template: Template;
}

/** Its files are open until the last start that goes on from it has them. */
class SharedTemplate {
  #users = 0;
  #isRetired = false;

  constructor(readonly template: Template) {}

  take(): TakenTemplate {
    this.#users += 1;
    let isHeld = true;
    return {
      template: this.template,
      [Symbol.dispose]: () => {
        if (isHeld) this.#users -= 1;
        isHeld = false;
        this.#disposeUnused();
      },
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

export class Templates {
  /** Those used last come last. */
  readonly #ready = new Map<string, SharedTemplate>();
  /** Keys of those that are made, and of those that could not be. */
  readonly #begun = new Set<string>();
  readonly #closing = new AbortController();
  #work: Promise<void> = Promise.resolve();

  constructor(private readonly opts: TemplatesOpts) {}

  /** One that fits, which is there until it is given back. */
  take(shape: TemplateShape): TakenTemplate | undefined {
    const key = keyOf(shape);
    const template = this.#ready.get(key);
    if (template === undefined) return undefined;
    this.#ready.delete(key);
    this.#ready.set(key, template);
    return template.take();
  }

  /** Makes one unless there is one, in the background, one after the other. Never throws. */
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

  /** It cannot be used, and is not made again. */
  drop({ template }: TakenTemplate, error: unknown): void {
    const key = keyOf(template.spec);
    const shared = this.#ready.get(key);
    if (shared?.template !== template) return;
    this.#ready.delete(key);
    this.#begun.add(key);
    shared.retire();
    this.#tell("warning", "A template could not be used, and was given up", template.spec, {
      error: messageOf(error),
    });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#work;
    for (const template of this.#ready.values()) template.retire();
    this.#ready.clear();
  }

  async #make(key: string, spec: TemplateSpec): Promise<void> {
    const { signal } = this.#closing;
    if (signal.aborted) return;
    try {
      const { deps, bootTurn } = this.opts;
      const saving = await deps.guests.saving();
      if (saving === null) return;
      if (spec.memoryMiB * MIB > freemem() * MEMORY_SHARE) {
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
      this.#tell("warning", "A template could not be made", spec, { error: messageOf(error) });
    }
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
    { imageDisk, cpus, memoryMiB, diskMiB }: TemplateSpec,
    facts: Readonly<Record<string, unknown>>,
  ): void {
    const shape = { imageDisk, cpus, memoryMiB, diskMiB };
    this.opts.deps.onNotice({ kind, message, details: { shape, ...facts } });
  }
}

function keyOf({ imageDisk, cpus, memoryMiB, diskMiB }: TemplateShape): string {
  return JSON.stringify([imageDisk, cpus, memoryMiB, diskMiB]);
}
