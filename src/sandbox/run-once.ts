/** One command in a microVM of its own: without a server, without a record, and with nothing left of it. */
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import type { ExecSession } from "../agent/exec-session.js";
import type { PtySize } from "../agent/messages.js";
import type { PullPolicy } from "../config.js";
import { createUpperDisk } from "../disk/upper-disk.js";
import { MsbError } from "../errors.js";
import type { DriverName } from "../hypervisor/driver.js";
import type { Hypervisor } from "../hypervisor/open.js";
import type { BootableImage, Images } from "../oci/images.js";
import { throwIfAborted } from "../util/async.js";
import { sweepTemp, tempName } from "../util/atomic-file.js";
import { CleanUp } from "../util/clean-up.js";
import type { OnProgress } from "../util/progress.js";
import { startCommand } from "./command-start.js";
import { guestContext, mergeEnv } from "./guest-env.js";
import { DEFAULT_BOOT_TIMEOUT_MS, Guest } from "./guest.js";
import { type AskedCommand, imageCommand } from "./image-command.js";
import type { MakeUpperDisk } from "./manager-opts.js";
import type { SandboxSpec, SandboxSpecOpts, StartStage } from "./service.js";
import { resolveSpec } from "./spec.js";
import { StartStages } from "./start-stages.js";
import { makeWorkdir } from "./workdir.js";

const MIB = 1024 ** 2;
const HOSTNAME = "msb-run";
const NO_LIMITS = { idleTimeoutMs: 0, maxLifetimeMs: 0 };

export interface RunOnceRequest extends SandboxSpecOpts, AskedCommand {
  /** Kills the command after so long; 0, the default, for never. */
  readonly timeoutMs?: number;
  /** Default is /dev/null as standard input. */
  readonly stdin?: boolean;
  /** A terminal for the command, and its kind (TERM) unless the environment says it. */
  readonly pty?: PtySize & { readonly term: string };
}

export type RunHypervisor = Pick<Hypervisor, "driver" | "initramfs" | "paths">;

export interface RunOnceOpts {
  readonly images: Pick<Images, "ensure" | "hold">;
  readonly openHypervisor: () => Promise<RunHypervisor>;
  readonly makeUpperDisk?: MakeUpperDisk;
  readonly pullPolicy?: PullPolicy;
  /** Of the boot, default 60 s. */
  readonly bootTimeoutMs?: number;
  readonly onProgress?: OnProgress;
  /** Ends the start; whoever has the run ends it by `stop` or by disposing of it. */
  readonly signal: AbortSignal;
}

export type RunningCommand = Pick<
  ExecSession,
  "output" | "exited" | "write" | "endStdin" | "signal" | "resize"
>;

/** A command that runs. Disposing of it ends the microVM at once; both that and `stop` may be called at any time. */
export interface OneRun extends AsyncDisposable {
  [Symbol.asyncDispose](): Promise<void>;
  readonly image: Pick<BootableImage, "digest" | "names">;
  readonly driver: DriverName;
  readonly argv: readonly string[];
  /** Of the start: `runtime`, `image`, `disk`, `vm`, `agent`, `start`. */
  readonly stages: readonly StartStage[];
  readonly command: RunningCommand;
  /** SIGTERM for all programs of the guest, then its end. */
  stop(): Promise<void>;
}

/**
 * Brings the image, boots and starts the command. The microVM ends with this process, however that ends. Throws
 * MSB_ERR_INVALID_ARGUMENT, MSB_ERR_EXEC_FAILED, and what `Images.ensure`, `openHypervisor` and `Guest.boot` throw.
 */
export async function runOnce(request: RunOnceRequest, opts: RunOnceOpts): Promise<OneRun> {
  const spec = resolveSpec(request, NO_LIMITS);
  throwIfAborted(opts.signal, "The run");
  const cleanUp = new CleanUp();
  try {
    return await new RunStart(request, spec, opts, cleanUp).run();
  } catch (error) {
    await cleanUp.run().catch(() => {});
    throw error;
  }
}

class RunStart {
  readonly #stages = new StartStages();

  constructor(
    private readonly request: RunOnceRequest,
    private readonly spec: SandboxSpec,
    private readonly opts: RunOnceOpts,
    private readonly cleanUp: CleanUp,
  ) {}

  async run(): Promise<OneRun> {
    const { request, spec, opts, cleanUp } = this;
    const stages = this.#stages;
    // First of all: where no microVM can run nothing is downloaded.
    const hypervisor = await stages.run("runtime", () => openUsable(opts));
    const image = await stages.run("image", () => this.#bringImage());
    const argv = imageCommand(spec.image, image.config, request);
    const guest = await this.#boot(hypervisor, image);
    const command = await stages.run("start", () => this.#start(guest, image, argv));
    return {
      image,
      driver: guest.vm.driver,
      argv,
      stages: stages.all,
      command,
      stop: async () => {
        await guest.stop();
        await cleanUp.run();
      },
      [Symbol.asyncDispose]: () => cleanUp.run(),
    };
  }

  /** It stays until the run is over, whatever is removed and pruned meanwhile. */
  async #bringImage(): Promise<BootableImage> {
    const { images, pullPolicy, onProgress, signal } = this.opts;
    const pin = await images.hold();
    this.cleanUp.add(() => pin[Symbol.asyncDispose]());
    return images.ensure(this.spec.image, {
      pin,
      signal,
      ...(pullPolicy === undefined ? {} : { pullPolicy }),
      ...(onProgress === undefined ? {} : { onProgress }),
    });
  }

  async #boot({ driver, initramfs, paths }: RunHypervisor, image: BootableImage): Promise<Guest> {
    const { signal, bootTimeoutMs = DEFAULT_BOOT_TIMEOUT_MS } = this.opts;
    const { cleanUp, spec } = this;
    const stages = this.#stages;
    // Its name says whose it is: should this process be killed before it is removed, others sweep it.
    const upperDisk = paths.tempFile(tempName("run-disk"));
    const removeDisk = (): Promise<void> => rm(upperDisk, { force: true });
    cleanUp.add(removeDisk);
    const makeUpperDisk: MakeUpperDisk =
      this.opts.makeUpperDisk ?? ((path, disk) => createUpperDisk(path, { ...disk, paths }));
    await stages.run("disk", async () => {
      await sweepTemp(paths.tempDir);
      await makeUpperDisk(upperDisk, { sizeBytes: spec.diskMiB * MIB, signal });
    });
    const config = {
      id: `run-${randomBytes(6).toString("hex")}`,
      vcpuCount: spec.cpus,
      memoryMiB: spec.memoryMiB,
      initramfs,
      imageDisk: image.disk.path,
      upperDisk,
      lifetime: "owner",
      leaseMs: 0,
    } as const;
    const guest = await stages.run("vm", () =>
      Guest.boot(driver, config, { hostname: HOSTNAME, timeoutMs: bootTimeoutMs, signal }),
    );
    // Nothing of its disk is kept, so it need not stop in order.
    cleanUp.add(async () => void (await guest.vm.stop()));
    // The VM has it open; without a name it is gone as soon as the VM is, whatever becomes of this process.
    await removeDisk();
    stages.move("vm", "agent", Math.max(0, guest.timings.readyMs - guest.timings.startedMs));
    return guest;
  }

  async #start(
    guest: Guest,
    image: BootableImage,
    [command, ...args]: readonly [string, ...string[]],
  ): Promise<ExecSession> {
    const { request, spec } = this;
    const { signal } = this.opts;
    const { pty, stdin = false, timeoutMs = 0 } = request;
    const context = guestContext(image.config, spec);
    await makeWorkdir(guest.agent, context.workdir, signal);
    return startCommand(
      guest.agent,
      { command, args, timeoutMs },
      {
        ...context,
        ...(pty === undefined
          ? {}
          : {
              env: mergeEnv([`TERM=${pty.term}`], context.env),
              pty: { cols: pty.cols, rows: pty.rows },
            }),
        stdin,
        signal,
      },
    );
  }
}

async function openUsable({ openHypervisor }: RunOnceOpts): Promise<RunHypervisor> {
  const hypervisor = await openHypervisor();
  const probe = await hypervisor.driver.probe();
  if (!probe.usable) throw new MsbError(probe.code, probe.reason, { details: probe.facts });
  return hypervisor;
}
