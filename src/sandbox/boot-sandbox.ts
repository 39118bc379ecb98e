/** The microVM of a start: one that has a head start, or a cold one. */
import { randomBytes } from "node:crypto";
import { messageOf } from "../errors.js";
import { throwIfAborted } from "../util/async.js";
import type { GuestContext } from "./guest-env.js";
import type { BootOpts, GuestConfig, RunningGuest } from "./guest-source.js";
import type { HeadStart } from "./head-start.js";
import type { SandboxDeps } from "./manager-opts.js";
import type { Sandbox } from "./sandbox.js";
import type { SandboxSpec } from "./service.js";
import type { StartStages } from "./start-stages.js";

/** Of VMs that belong to sandboxes; the reaper ends those that no record names. */
export const VM_ID_PREFIX = "sb-";

/** What takes longer than a cold boot is none. */
const HEAD_START_TIMEOUT_MS = 15_000;

export function newVmId(): string {
  return `${VM_ID_PREFIX}${randomBytes(6).toString("hex")}`;
}

export interface BootSandboxOpts {
  readonly spec: SandboxSpec;
  readonly imageDisk: string;
  readonly context: GuestContext;
  /** Whose disk the private disk is. */
  readonly headStart: HeadStart | undefined;
  /** Makes the private disk an empty one. */
  readonly remakeDisk: () => Promise<unknown>;
  readonly deps: SandboxDeps;
  readonly stages: StartStages;
  readonly signal: AbortSignal;
}

export interface BootedSandbox {
  readonly guest: RunningGuest;
  readonly hasHeadStart: boolean;
}

/** Throws as `GuestSource.boot`. A head start that does not work is given up, and is no error. */
export async function bootSandbox(sandbox: Sandbox, opts: BootSandboxOpts): Promise<BootedSandbox> {
  const { spec, deps, stages, signal } = opts;
  const id = opts.headStart?.vmId ?? newVmId();
  const config = {
    id,
    vcpuCount: spec.cpus,
    memoryMiB: spec.memoryMiB,
    imageDisk: opts.imageDisk,
    upperDisk: sandbox.paths.upperDisk,
  };
  const hostname = sandbox.key.name.replaceAll("_", "-");
  const event = { type: "booting", message: `The microVM ${id} boots.`, details: { vm: id } };
  sandbox.change("booting", { vm: { id, nonce: null, ...opts.context } }, event);
  const booted = await stages.run("vm", async () => {
    // Before there is a VM, so that none is ever unknown; one that runs ahead is known until it is written.
    const saved = sandbox.save();
    if (opts.headStart?.vmId == null) await saved;
    saved.catch(() => {});
    throwIfAborted(signal, "The start");
    const how = { hostname, timeoutMs: deps.bootTimeoutMs, signal };
    const ahead = await startAhead(sandbox, config, opts, how);
    if (ahead !== undefined) return { guest: ahead, hasHeadStart: true };
    await saved;
    return { guest: await deps.guests.boot(config, how), hasHeadStart: false };
  });
  const { timings } = booted.guest;
  // The boot was one call; from its process's start to its end it is the agent's.
  if (timings !== undefined) {
    stages.move("vm", "agent", Math.max(0, timings.readyMs - timings.startedMs));
  }
  return booted;
}

async function startAhead(
  sandbox: Sandbox,
  config: GuestConfig,
  { headStart, signal, remakeDisk }: BootSandboxOpts,
  how: BootOpts,
): Promise<RunningGuest | undefined> {
  if (headStart === undefined) return undefined;
  try {
    const timeoutMs = Math.min(how.timeoutMs, HEAD_START_TIMEOUT_MS);
    return await headStart.start(config, { ...how, timeoutMs });
  } catch (error) {
    throwIfAborted(signal, "The start");
    headStart.giveUp(error);
    const message = `The sandbox boots cold, for the guest that was ready for it failed: ${messageOf(error)}`;
    sandbox.event({ type: "head-start-failed", message });
    await remakeDisk();
    return undefined;
  }
}
