/**
 * Guests that run before anybody asks for them, for drivers that cannot keep any: some of each of the kinds that were
 * started last. Each is handed out once. They take only what sandboxes leave.
 */
import { messageOf, type MsbError } from "../errors.js";
import { abortable, deferred, throwIfAborted } from "../util/async.js";
import { LinkedAbort } from "../util/linked-abort.js";
import { SharedFlight } from "../util/shared-flight.js";
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
import { cannotKeep, noMemory } from "./head-start-errors.js";
import { tellOfKind } from "./head-start-notice.js";
import { KeptImages } from "./kept-images.js";
import type { SandboxDeps } from "./manager-opts.js";
import { shuttingDown } from "./sandbox-errors.js";
import { keyOf, type MakeGuestOpts } from "./template.js";
import { newVmId } from "./boot-sandbox.js";
import { makeWarmGuest, type WarmGuest } from "./warm-guest.js";

const MIB = 1024 ** 2;
/** Kinds that have running guests at the same time. */
const MAX_KINDS = 2;
/** Before each boot: the sandbox that took the one before is wanted for something, which comes first. */
const REFILL_PAUSE_MS = 1_000;
const PRESSURE_CHECK_MS = 5_000;
/** Of one kind: a busy host is enough for one, and what fails again and again is not tried for ever. */
const MAX_FAILURES = 3;
/** Of the host's memory; when less is free the guests end. */
const LOW_MEMORY_SHARE = 0.1;
const WHAT = "The making of a guest that runs ahead";

interface Kind {
  readonly spec: TemplateSpec;
  readonly guests: Set<WarmGuest>;
  /** Of those who asked for it. */
  readonly images: KeptImages;
  /** How many could not be made. */
  failures: number;
  /** Not before one is there for somebody who asked for it, and called it off maybe. */
  isRefilled: boolean;
}

export interface WarmPoolOpts {
  readonly deps: SandboxDeps;
  readonly admission: Pick<Admission, "bootTurn" | "hasRoom">;
}

export class WarmPool implements HeadStarts {
  /** The kind that was started last comes last. */
  readonly #kinds = new Map<string, Kind>();
  /** From before they run until a record names them. */
  readonly #vmIds = new Set<string>();
  readonly #closing = new AbortController();
  readonly #flights = new SharedFlight<void>();
  readonly #work = new WorkSet();
  #filling: Promise<void> | undefined;
  #endCheck: (() => void) | undefined;

  constructor(private readonly opts: WarmPoolOpts) {}

  async take(shape: TemplateShape): Promise<HeadStart | undefined> {
    const kind = this.#kinds.get(keyOf(shape));
    const [warm] = kind?.guests ?? [];
    if (kind === undefined || warm === undefined) return undefined;
    kind.guests.delete(warm);
    let isUsed = false;
    return {
      spec: kind.spec,
      kernels: warm.kernels,
      vmId: warm.vmId,
      placeDisk: (path) => warm.moveDisk(path),
      start: async (_config, opts) => {
        const guest = await warm.claim(opts);
        isUsed = true;
        return guest;
      },
      giveUp: (error) => this.#warn("A guest that was ready could not be used", kind.spec, error),
      [Symbol.asyncDispose]: async () => {
        if (!isUsed) await warm.end();
        this.#vmIds.delete(warm.vmId);
      },
    };
  }

  prepare(spec: TemplateSpec): void {
    if (this.opts.deps.warmGuests === 0 || this.#closing.signal.aborted) return;
    this.#putLast(spec).isRefilled = true;
    this.#fill();
  }

  async requireOn(): Promise<void> {
    if (this.opts.deps.warmGuests === 0) throw cannotKeep();
  }

  async warm(spec: TemplateSpec, opts: WarmOpts): Promise<ReadyHeadStart> {
    await this.requireOn();
    throwIfAborted(this.#closing.signal, WHAT);
    const kind = this.#putLast(spec);
    const wasReady = kind.guests.size > 0;
    if (!wasReady) await this.#make(kind, opts);
    kind.isRefilled = true;
    if (opts.image !== undefined) await kind.images.add(opts.image);
    this.#fill();
    return { headStart: "guest", wasReady, keptBytes: null };
  }

  vmIds(): readonly string[] {
    return [...this.#vmIds];
  }

  async close(): Promise<void> {
    this.#closing.abort(shuttingDown());
    this.#endCheck?.();
    await this.#filling;
    await this.#work.settled();
    await this.#flights.settled();
    for (const key of [...this.#kinds.keys()]) this.#forget(key);
    await this.#work.settled();
  }

  /** The kind, which is the one that was started last now. */
  #putLast(spec: TemplateSpec): Kind {
    const key = keyOf(spec);
    const kind = this.#kinds.get(key) ?? {
      spec,
      guests: new Set(),
      images: new KeptImages(),
      failures: 0,
      isRefilled: false,
    };
    this.#kinds.delete(key);
    this.#kinds.set(key, kind);
    const [oldest] = this.#kinds.keys();
    if (oldest !== undefined && this.#kinds.size > MAX_KINDS) this.#forget(oldest);
    this.#yield();
    return kind;
  }

  #fill(): void {
    this.#filling ??= this.#makeMissing().finally(() => (this.#filling = undefined));
  }

  async #makeMissing(): Promise<void> {
    if ((await this.opts.deps.guests.saving()) !== null) return;
    for (;;) {
      await this.#pause();
      const kind = this.#wanting();
      if (kind === undefined) return;
      // The log has heard of it.
      await this.#make(kind, {}).catch(() => {});
    }
  }

  /** Over at once when the pool is closed. */
  async #pause(): Promise<void> {
    const over = deferred<void>();
    const callOff = this.opts.deps.clock.after(REFILL_PAUSE_MS, () => over.resolve());
    await abortable(over.promise, this.#closing.signal, WHAT).catch(() => {});
    callOff();
  }

  /** One more of a kind, the same for all who want one at the same time. */
  #make(kind: Kind, opts: WarmOpts): Promise<void> {
    const key = keyOf(kind.spec);
    const flight = this.#flights.run(key, { what: WHAT, ...opts }, async (signal, onProgress) => {
      if (!this.#hasRoomFor(kind.spec)) throw noRoom(kind.spec);
      using either = new LinkedAbort(signal, this.#closing.signal);
      await this.#makeOne(kind, { signal: either.signal, onProgress });
    });
    return this.#work.add(flight);
  }

  async #makeOne(kind: Kind, how: MakeGuestOpts): Promise<void> {
    const { deps, admission } = this.opts;
    const id = newVmId();
    this.#vmIds.add(id);
    try {
      using _turn = await admission.bootTurn(how.signal);
      this.#add(kind, await makeWarmGuest(id, kind.spec, deps, how));
    } catch (error) {
      this.#vmIds.delete(id);
      throwIfAborted(how.signal, WHAT);
      kind.failures += 1;
      this.#warn("No guest could be made ready ahead", kind.spec, error);
      throw error;
    }
  }

  /** The kind that was started last of those that lack one. */
  #wanting(): Kind | undefined {
    if (this.#closing.signal.aborted) return undefined;
    return [...this.#kinds.values()]
      .toReversed()
      .find(
        ({ spec, guests, failures, isRefilled }) =>
          isRefilled &&
          failures < MAX_FAILURES &&
          guests.size < this.opts.deps.warmGuests &&
          this.#hasRoomFor(spec),
      );
  }

  #add(kind: Kind, warm: WarmGuest): void {
    if (this.#kinds.get(keyOf(kind.spec)) !== kind) return this.#end(warm);
    kind.guests.add(warm);
    this.#tell("info", "A guest is ready ahead", kind.spec, { vm: warm.vmId });
    void warm.ended.then(() => {
      if (kind.guests.delete(warm)) this.#end(warm);
    });
    this.#endCheck ??= this.opts.deps.clock.after(PRESSURE_CHECK_MS, () => this.#check());
  }

  #check(): void {
    this.#endCheck = undefined;
    this.#yield();
    if (this.#all().length === 0 || this.#closing.signal.aborted) return;
    this.#endCheck = this.opts.deps.clock.after(PRESSURE_CHECK_MS, () => this.#check());
  }

  /** Ends what is in the way of sandboxes, those of the oldest kind first. */
  #yield(): void {
    const { freeBytes, totalBytes } = this.opts.deps.readHostMemory();
    if (freeBytes < totalBytes * LOW_MEMORY_SHARE) {
      for (const { guests } of this.#kinds.values()) this.#empty(guests);
    }
    for (const { guests } of this.#kinds.values()) {
      if (this.#hasRoomFor(null)) return;
      this.#empty(guests);
    }
  }

  #hasRoomFor(spec: TemplateSpec | null): boolean {
    const specs = this.#all().map((warm) => warm.spec);
    if (spec !== null) specs.push(spec);
    const sum = (key: "memoryMiB" | "cpus"): number =>
      specs.reduce((total, one) => total + one[key], 0);
    const { freeBytes, totalBytes } = this.opts.deps.readHostMemory();
    const isFree =
      spec === null || freeBytes - spec.memoryMiB * MIB > 2 * totalBytes * LOW_MEMORY_SHARE;
    const amount = { sandboxes: specs.length, memoryMiB: sum("memoryMiB"), vcpus: sum("cpus") };
    return isFree && this.opts.admission.hasRoom(amount);
  }

  #forget(key: string): void {
    const kind = this.#kinds.get(key);
    this.#kinds.delete(key);
    if (kind === undefined) return;
    this.#empty(kind.guests);
    void this.#work.add(kind.images.release());
  }

  #empty(guests: Set<WarmGuest>): void {
    for (const warm of guests) this.#end(warm);
    guests.clear();
  }

  #end(warm: WarmGuest): void {
    void this.#work.add(warm.end().then(() => this.#vmIds.delete(warm.vmId)));
  }

  #all(): WarmGuest[] {
    return [...this.#kinds.values()].flatMap(({ guests }) => [...guests]);
  }

  #warn(message: string, spec: TemplateSpec, error: unknown): void {
    this.#tell("warning", message, spec, { error: messageOf(error) });
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

function noRoom({ memoryMiB }: TemplateSpec): MsbError {
  const advice =
    "it must fit into what sandboxes leave of the server's budget, and leave a fifth of the host's memory free";
  return noMemory("a guest that runs ahead", memoryMiB, advice);
}
