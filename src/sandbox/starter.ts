/** One start of one sandbox, stage by stage. Whatever fails, everything it had taken is given back. */
import { isMsbError, messageOf, MsbError } from "../errors.js";
import type { Kernels } from "../kernel/kernels.js";
import type { BootableImage } from "../oci/images.js";
import { abortable, throwIfAborted } from "../util/async.js";
import { LinkedAbort } from "../util/linked-abort.js";
import type { OnProgress } from "../util/progress.js";
import type { Admission } from "./admission.js";
import { ensureBootImage } from "./boot-image.js";
import { type BootedSandbox, bootSandbox } from "./boot-sandbox.js";
import { type GuestContext, guestContext } from "./guest-env.js";
import type { RunningGuest } from "./guest-source.js";
import type { HeadStart, HeadStarts } from "./head-start.js";
import type { MakeUpperDisk, SandboxDeps } from "./manager-opts.js";
import { languageAhead } from "./prewarm.js";
import { ensurePrivateDisk, needsDisk } from "./private-disk.js";
import type { RunningSandboxOpts } from "./running-sandbox.js";
import { openSandboxKernels, prewarm } from "./sandbox-kernels.js";
import type { Sandbox } from "./sandbox.js";
import type { SandboxSpec } from "./service.js";
import { StartStages } from "./start-stages.js";
import { adoptedKernels, templateShape, templateSpec } from "./template.js";
import { makeWorkdir } from "./workdir.js";

export interface StartSandboxOpts {
  readonly spec: SandboxSpec;
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
  readonly deps: SandboxDeps;
  readonly admission: Admission;
  readonly headStarts: HeadStarts;
}

/** A sandbox that is ready. */
export type ReadySandbox = Omit<RunningSandboxOpts, "name" | "deps" | "onDeadline">;

/**
 * Boots the sandbox, whose turn the caller holds. A sandbox that is not admitted stays what it was; after any other
 * failure it is `failed`, or `stopped` when the signal aborted.
 */
export async function startSandbox(
  sandbox: Sandbox,
  opts: StartSandboxOpts,
): Promise<ReadySandbox> {
  const stages = new StartStages();
  throwIfAborted(opts.signal, "The start");
  const { memoryMiB, cpus } = opts.spec;
  const reservation = await stages.run("admission", async () =>
    opts.admission.reserve({ memoryMiB, vcpus: cpus }),
  );
  const attempt = new StartAttempt(sandbox, stages, reservation, opts);
  try {
    return await attempt.run();
  } catch (error) {
    await attempt.undo(error);
    throw error;
  } finally {
    for (const stage of stages.all) {
      opts.deps.onNotice({ kind: "stage", key: sandbox.key, stage });
    }
  }
}

class StartAttempt {
  #guest: RunningGuest | undefined;
  #kernels: Kernels | undefined;
  #endConsole: (() => Promise<void>) | undefined;
  #isDiskNew = false;

  constructor(
    private readonly sandbox: Sandbox,
    private readonly stages: StartStages,
    private readonly reservation: Disposable,
    private readonly opts: StartSandboxOpts,
  ) {}

  async run(): Promise<ReadySandbox> {
    const { sandbox, stages } = this;
    const { deps, admission, headStarts, spec, signal, onProgress } = this.opts;
    const begun = this.#begin();
    // Whether it could be is heard of when the image is held.
    begun.catch(() => {});
    const { disk } = sandbox.record;
    // Nothing prunes the image before the record, which others read, says that its disk is made for it.
    await using pin = await deps.images.hold();
    await begun;
    const image = await stages.run("image", () =>
      ensureBootImage(deps.images, { image: spec.image, disk }, { signal, onProgress, pin }),
    );
    sandbox.bootImage = image.digest;
    await using taken = needsDisk(sandbox, image, spec)
      ? await headStarts.take(templateShape(image, spec))
      : undefined;
    const usable = await stages.run("disk", () => this.#makeDisk(image, taken));
    const context = guestContext(image.config, spec);
    using _turn = await stages.run("admission", () => admission.bootTurn(signal));
    const { guest, hasHeadStart } = await this.#boot(image, context, usable);
    using clock = new ReadyClock(sandbox.name, deps, signal);
    const headStart = hasHeadStart ? usable : undefined;
    if (headStart?.spec.context.workdir !== context.workdir) {
      await stages.run("agent", () => makeWorkdir(guest.agent, context.workdir, clock.signal));
    }
    const kernels = await stages.run("kernel", () =>
      this.#openKernels({ guest, headStart, context, image, signal: clock.signal }),
    );
    throwIfAborted(clock.signal, "The start");
    const ready = await this.#ready(guest, kernels, context);
    if (this.#isDiskNew) headStarts.prepare(templateSpec(image, spec, deps.prewarm));
    return ready;
  }

  /** Gives everything back; the sandbox has then the state that the error means. */
  async undo(error: unknown): Promise<void> {
    const { sandbox, stages } = this;
    const isCalledOff = this.opts.signal.aborted;
    if (isCalledOff && sandbox.state === "booting") sandbox.change("stopping", {});
    this.#kernels?.close(error instanceof Error ? error : undefined);
    await this.#endVm();
    await this.#endConsole?.();
    this.reservation[Symbol.dispose]();
    const at = sandbox.nowIso();
    const ended = { vm: null, kernels: null, stages: stages.all, stoppedAt: at };
    if (isCalledOff) {
      const event = { type: "start-aborted", message: messageOf(error) };
      sandbox.change("stopped", { ...ended, failure: null }, event);
    } else {
      const code = isMsbError(error) ? error.code : "MSB_ERR_INTERNAL";
      const message = `The start failed at the stage ${stages.current}: ${messageOf(error)}`;
      const details = { code, stage: stages.current };
      const failure = { code, message, at };
      sandbox.change("failed", { ...ended, failure }, { type: "failed", message, details });
    }
    await sandbox.saveOrWarn();
  }

  async #endVm(): Promise<void> {
    const guest = this.#guest;
    // If it cannot be ended in any way the reaper tries again: no record will name this VM.
    await guest?.stop({ graceMs: 0 }).catch(async () => {
      await this.opts.deps.guests.destroy(guest.vm.id).catch(() => {});
    });
  }

  async #begin(): Promise<void> {
    const { sandbox } = this;
    const { spec } = this.opts;
    const isNew = sandbox.state === "creating";
    sandbox.isFresh = false;
    const patch = { spec, failure: null, stages: [] };
    if (isNew) sandbox.update(patch);
    else sandbox.change("creating", patch);
    const message = `The sandbox is ${isNew ? "created" : "started"} from the image ${spec.image}.`;
    sandbox.event({ type: isNew ? "created" : "starting", message });
    await sandbox.save();
  }

  /** The head start that can be used: its disk is the sandbox's now. */
  async #makeDisk(
    image: BootableImage,
    taken: HeadStart | undefined,
  ): Promise<HeadStart | undefined> {
    const { deps, signal } = this.opts;
    if (taken !== undefined) {
      try {
        await this.#ensureDisk(image, (path) => taken.placeDisk(path));
        return taken;
      } catch (error) {
        if (signal.aborted || isMsbError(error, "MSB_ERR_NO_SPACE")) throw error;
        taken.giveUp(error);
      }
    }
    await this.#ensureDisk(image, deps.makeUpperDisk);
    return undefined;
  }

  async #ensureDisk(image: BootableImage, makeUpperDisk: MakeUpperDisk): Promise<void> {
    const { spec, signal } = this.opts;
    const isNew = await ensurePrivateDisk(this.sandbox, image, spec, { makeUpperDisk, signal });
    this.#isDiskNew ||= isNew;
  }

  async #boot(
    image: BootableImage,
    context: GuestContext,
    headStart: HeadStart | undefined,
  ): Promise<BootedSandbox> {
    const { sandbox, stages } = this;
    const { deps } = this.opts;
    const booted = await bootSandbox(sandbox, {
      ...this.opts,
      stages,
      context,
      headStart,
      imageDisk: image.disk.path,
      remakeDisk: async () => {
        sandbox.update({ disk: null });
        await this.#ensureDisk(image, deps.makeUpperDisk);
      },
    });
    this.#guest = booted.guest;
    sandbox.console.begin();
    this.#endConsole = sandbox.console.watch(booted.guest.vm, deps.clock);
    return booted;
  }

  async #openKernels(opts: {
    readonly guest: RunningGuest;
    readonly headStart: HeadStart | undefined;
    readonly context: GuestContext;
    readonly image: BootableImage;
    readonly signal: AbortSignal;
  }): Promise<Kernels> {
    const { guest, headStart, context, image, signal } = opts;
    const { sandbox } = this;
    const { deps, spec } = this.opts;
    const adopted = await adoptedKernels(guest.agent, headStart, context);
    const kernels = await openSandboxKernels(sandbox, guest, context, { deps, signal, ...adopted });
    this.#kernels = kernels;
    const language = languageAhead(deps.prewarm, spec.image, image.config);
    if (language === undefined) return kernels;
    const warmed = prewarm(sandbox, guest, kernels, language);
    if (deps.prewarm === "wait") await abortable(warmed, signal, "The start");
    return kernels;
  }

  async #ready(
    guest: RunningGuest,
    kernels: Kernels,
    context: GuestContext,
  ): Promise<ReadySandbox> {
    const { sandbox, stages } = this;
    const startedAt = sandbox.nowIso();
    const vm = { id: guest.vm.id, nonce: guest.nonce, ...context };
    const details = { vm: guest.vm.id, driver: guest.vm.driver, stages: stages.all };
    sandbox.change(
      "running",
      { vm, kernels: kernels.snapshot(), startedAt, stoppedAt: null, stages: stages.all },
      { type: "running", message: `The sandbox is ready (${guest.vm.driver}).`, details },
    );
    // A server that does not come this far leaves a record that says `booting`, and its VM is ended.
    await sandbox.save();
    return {
      guest,
      kernels,
      context,
      spec: this.opts.spec,
      startedAtMs: Date.parse(startedAt),
      reservation: this.reservation,
      endConsole: this.#endConsole ?? (async () => {}),
    };
  }
}

/** Aborts with the caller, or when what comes after the boot takes too long. The boot has a clock of its own. */
class ReadyClock implements Disposable {
  readonly #either: LinkedAbort;
  readonly #callOff: () => void;

  constructor(name: string, { clock, bootTimeoutMs }: SandboxDeps, signal: AbortSignal) {
    this.#either = new LinkedAbort(signal);
    this.#callOff = clock.after(bootTimeoutMs, () => {
      const message =
        `The sandbox ${name} has booted but was not ready ${bootTimeoutMs} ms later. Raise bootTimeoutMs, or give ` +
        "it more memory or a less busy host.";
      const details = { timeoutMs: bootTimeoutMs };
      this.#either.abort(new MsbError("MSB_ERR_BOOT_TIMEOUT", message, { details }));
    });
  }

  get signal(): AbortSignal {
    return this.#either.signal;
  }

  [Symbol.dispose](): void {
    this.#callOff();
    this.#either[Symbol.dispose]();
  }
}
