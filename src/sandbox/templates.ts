/** The templates of a server: made after a start that would have used one, or when asked for; the least used given up. */
import { messageOf, MsbError } from "../errors.js";
import { throwIfAborted } from "../util/async.js";
import { LinkedAbort } from "../util/linked-abort.js";
import { Semaphore } from "../util/semaphore.js";
import { SharedFlight } from "../util/shared-flight.js";
import { WorkSet } from "../util/work-set.js";
import type { BootOpts, GuestConfig, RunningGuest, SavedGuest } from "./guest-source.js";
import type {
  HeadStart,
  HeadStarts,
  ReadyHeadStart,
  TemplateShape,
  TemplateSpec,
  WarmOpts,
} from "./head-start.js";
import { cannotKeep, noMemory, templatesOff } from "./head-start-errors.js";
import { tellOfKind } from "./head-start-notice.js";
import type { SandboxDeps } from "./manager-opts.js";
import { shuttingDown } from "./sandbox-errors.js";
import { SharedTemplate } from "./shared-template.js";
import { keyOf, type MakeGuestOpts, makeTemplate } from "./template.js";

const MIB = 1024 ** 2;
/** Of the host's memory that is left, the share that a new template may take. */
const MEMORY_SHARE = 0.5;
/** Of one kind of template, to be made or used. */
const MAX_FAILURES = 3;
/** From one look for templates that are of no use any more to the next. */
const STALE_CHECK_MS = 60_000;
const WHAT = "The making of a template";

export interface TemplatesOpts {
  readonly deps: SandboxDeps;
  /** Waits until nobody else wants to boot. */
  readonly bootTurn: (signal: AbortSignal) => Promise<Disposable>;
}

export class Templates implements HeadStarts {
  /** Those used last come last. */
  readonly #ready = new Map<string, SharedTemplate>();
  /** Keys of those that are made only when they are asked for: they failed too often, or cannot be kept. */
  readonly #hopeless = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #closing = new AbortController();
  readonly #flights = new SharedFlight<SharedTemplate>();
  readonly #calls = new WorkSet();
  /** One is made after the other. */
  readonly #turns = new Semaphore(1);
  #endCheck: (() => void) | undefined;

  constructor(private readonly opts: TemplatesOpts) {}

  async take(shape: TemplateShape): Promise<HeadStart | undefined> {
    const key = keyOf(shape);
    const shared = await this.#usable(key);
    if (shared === undefined) return undefined;
    this.#putLast(key, shared);
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

  prepare(spec: TemplateSpec): void {
    const key = keyOf(spec);
    if (this.opts.deps.maxTemplates === 0 || this.#ready.has(key) || this.#hopeless.has(key))
      return;
    // Nobody waits for it. The log has heard of what is worth it.
    this.#make(key, spec, {}).catch(() => {});
  }

  async requireOn(): Promise<void> {
    if (this.opts.deps.maxTemplates === 0) throw templatesOff();
  }

  async warm(spec: TemplateSpec, opts: WarmOpts): Promise<ReadyHeadStart> {
    await this.requireOn();
    const key = keyOf(spec);
    const there = await this.#usable(key);
    const shared = there ?? (await this.#make(key, spec, opts));
    if (there !== undefined) this.#putLast(key, there);
    if (opts.image !== undefined) await shared.images.add(opts.image);
    const { memoryBytes } = shared.template.guest.vm;
    return { headStart: "template", wasReady: there !== undefined, keptBytes: memoryBytes };
  }

  /** Resolves when all that was begun is made, or is known not to be. */
  async settled(): Promise<void> {
    await this.#calls.settled();
    await this.#flights.settled();
  }

  vmIds(): readonly string[] {
    return [];
  }

  async close(): Promise<void> {
    this.#closing.abort(shuttingDown());
    await this.settled();
    this.#endCheck?.();
    for (const [key, shared] of this.#ready) this.#retire(key, shared);
    await this.#calls.settled();
  }

  #retire(key: string, shared: SharedTemplate): void {
    this.#ready.delete(key);
    void this.#calls.add(shared.retire());
  }

  /** What an update or a prune made useless is to hold no memory until somebody asks for its kind. */
  #checkLater(): void {
    this.#endCheck ??= this.opts.deps.clock.after(STALE_CHECK_MS, () => {
      this.#endCheck = undefined;
      void this.#calls.add(this.#check());
    });
  }

  async #check(): Promise<void> {
    for (const key of [...this.#ready.keys()]) await this.#usable(key);
    if (this.#ready.size > 0 && !this.#closing.signal.aborted) this.#checkLater();
  }

  /** The one of a kind. What was made with another QEMU, kernel, agent or disk is given up: it would not go on. */
  async #usable(key: string): Promise<SharedTemplate | undefined> {
    const shared = this.#ready.get(key);
    if (shared === undefined) return undefined;
    const { imageDisk } = shared.template.spec;
    const fingerprint = await this.#fingerprint(imageDisk).catch(() => undefined);
    if (fingerprint === undefined || this.#ready.get(key) !== shared) return undefined;
    if (fingerprint === shared.template.madeWith) return shared;
    this.#retire(key, shared);
    const message =
      "A template was given up: the hypervisor, kernel, agent or image's disk is another one now";
    this.#tell("info", message, shared.template.spec, {});
    return undefined;
  }

  async #fingerprint(imageDisk: string): Promise<string | undefined> {
    return (await this.opts.deps.guests.saving())?.fingerprint(imageDisk);
  }

  #putLast(key: string, shared: SharedTemplate): void {
    this.#ready.delete(key);
    this.#ready.set(key, shared);
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
    this.#retire(key, shared);
    this.#countFailure(key);
    const message = "A template could not be used, and was given up";
    this.#tell("warning", message, spec, { error: messageOf(error) });
  }

  /** Once for all who want it at the same time. */
  #make(key: string, spec: TemplateSpec, opts: WarmOpts): Promise<SharedTemplate> {
    const flight = this.#flights.run(key, { what: WHAT, ...opts }, async (signal, onProgress) => {
      using either = new LinkedAbort(signal, this.#closing.signal);
      using _turn = await this.#turns.acquire(WHAT, either.signal);
      throwIfAborted(either.signal, WHAT);
      const how = { signal: either.signal, onProgress };
      return (await this.#usable(key)) ?? (await this.#makeInTurn(key, spec, how));
    });
    return this.#calls.add(flight);
  }

  async #makeInTurn(key: string, spec: TemplateSpec, how: MakeGuestOpts): Promise<SharedTemplate> {
    const { deps, bootTurn } = this.opts;
    const saving = await deps.guests.saving();
    if (saving === null) {
      this.#hopeless.add(key);
      throw cannotKeep();
    }
    this.#requireMemory(spec);
    try {
      using _turn = await bootTurn(how.signal);
      const shared = new SharedTemplate(await makeTemplate(spec, saving, deps, how));
      this.#hopeless.delete(key);
      this.#ready.set(key, shared);
      this.#checkLater();
      this.#tell("info", "A template is ready: sandboxes of its kind start quickly", spec, {
        memoryMiB: Math.round(shared.template.guest.vm.memoryBytes / MIB),
      });
      this.#giveUpOldest();
      return shared;
    } catch (error) {
      throwIfAborted(how.signal, WHAT);
      this.#countFailure(key);
      this.#tell("warning", "A template could not be made", spec, { error: messageOf(error) });
      throw error;
    }
  }

  #requireMemory({ memoryMiB }: TemplateSpec): void {
    const { freeBytes } = this.opts.deps.readHostMemory();
    if (memoryMiB * MIB <= freeBytes * MEMORY_SHARE) return;
    const freeMiB = Math.floor(freeBytes / MIB);
    const advice = `the host has ${freeMiB} MiB left, and a template may take half of that`;
    throw noMemory("a template", memoryMiB, advice);
  }

  /** A busy host is enough for one; what fails again and again is not tried for ever. */
  #countFailure(key: string): void {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    if (failures >= MAX_FAILURES) this.#hopeless.add(key);
  }

  #giveUpOldest(): void {
    for (const [key, shared] of this.#ready) {
      if (this.#ready.size <= this.opts.deps.maxTemplates) return;
      this.#retire(key, shared);
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
