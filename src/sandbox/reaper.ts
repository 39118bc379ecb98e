/** Ends VMs and removes files that belong to no sandbox any more. It never touches what a record names. */
import { messageOf } from "../errors.js";
import { SingleFlight } from "../util/async.js";
import type { Clock } from "../util/clock.js";
import { VM_ID_PREFIX } from "./boot-sandbox.js";
import type { GuestSource } from "./guest-source.js";
import type { OnNotice } from "./notice.js";
import type { RecordStore } from "./record-store.js";
import { keyText } from "./sandbox-name.js";
import type { SandboxKey } from "./service.js";

const INTERVAL_MS = 60_000;

export interface ReaperOpts {
  readonly guests: GuestSource;
  readonly store: RecordStore;
  readonly clock: Clock;
  readonly onNotice: OnNotice;
  /** Ids of VMs that sandboxes have now; each is there before its VM is started. */
  readonly knownVms: () => ReadonlySet<string>;
  readonly isKnown: (key: SandboxKey) => boolean;
  /** Does `work` while nobody else does anything to the sandbox. */
  readonly inTurn: (key: SandboxKey, work: () => Promise<void>) => Promise<void>;
}

export class Reaper {
  readonly #passes = new SingleFlight<void>();
  #callOff = (): void => {};
  #isEnded = false;

  constructor(private readonly opts: ReaperOpts) {}

  /** One pass now, then one a minute. */
  async begin(): Promise<void> {
    await this.pass();
    this.#schedule();
  }

  /** Calls at the same time share one. Never throws: what goes wrong is a warning, and the next pass tries again. */
  pass(): Promise<void> {
    return this.#passes.run("pass", async () => {
      await this.#attempt("Stray microVMs", () => this.#endStrayVms());
      await this.#attempt("Stray folders", () => this.#removeStrayFolders());
      await this.#attempt("Temporary files", () => this.opts.store.sweepTemp());
    });
  }

  /** No pass is under way and none will be. */
  async end(): Promise<void> {
    this.#isEnded = true;
    this.#callOff();
    await this.pass();
  }

  #schedule(): void {
    if (this.#isEnded) return;
    this.#callOff = this.opts.clock.after(INTERVAL_MS, () => {
      void this.pass().then(() => this.#schedule());
    });
  }

  async #endStrayVms(): Promise<void> {
    const { guests, knownVms, onNotice } = this.opts;
    const running = await guests.running();
    // Asked for after the list: a VM in it was known before it ran.
    const known = knownVms();
    for (const vm of running) {
      if (!vm.startsWith(VM_ID_PREFIX) || known.has(vm)) continue;
      // One that cannot be ended does not protect those behind it.
      await this.#attempt(`The microVM ${vm}`, async () => {
        await guests.destroy(vm);
        const message = `The microVM ${vm} belonged to no sandbox and was ended.`;
        onNotice({ kind: "warning", message, details: { vm } });
      });
    }
  }

  async #removeStrayFolders(): Promise<void> {
    for await (const key of this.opts.store.folders()) {
      if (this.opts.isKnown(key)) continue;
      await this.#attempt(`The folder of ${keyText(key)}`, () =>
        this.opts.inTurn(key, () => this.#removeIfStray(key)),
      );
    }
  }

  async #removeIfStray(key: SandboxKey): Promise<void> {
    const { store, isKnown, onNotice } = this.opts;
    // A record that could not be read is somebody's sandbox all the same.
    if (isKnown(key) || (await store.hasRecord(key)) || isKnown(key)) return;
    await store.remove(key);
    const message = `The folder of ${keyText(key)} had no record and was removed.`;
    onNotice({ kind: "warning", message, details: { ...key } });
  }

  async #attempt(what: string, work: () => Promise<void>): Promise<void> {
    if (this.#isEnded) return;
    await work().catch((error: unknown) => {
      const message = `${what} could not be removed: ${messageOf(error)}`;
      this.opts.onNotice({ kind: "warning", message, details: {} });
    });
  }
}
