/** What a server makes of the sandboxes that another one left: runs are taken over, all else is brought to an end. */
import { isMsbError, messageOf, MsbError } from "../errors.js";
import type { VmExit } from "../hypervisor/driver.js";
import type { Admission } from "./admission.js";
import { closeCommands } from "./close-commands.js";
import type { RunningGuest } from "./guest-source.js";
import type { SandboxDeps } from "./manager-opts.js";
import type { VmRecord } from "./record.js";
import { openSandboxKernels } from "./sandbox-kernels.js";
import type { Sandbox } from "./sandbox.js";
import type { ReadySandbox } from "./starter.js";
import { vmEnd } from "./vm-end.js";

export interface RecoverOpts {
  readonly deps: SandboxDeps;
  readonly admission: Admission;
}

/** The sandbox as it runs again; null when it does not, and its record says why. Never throws. */
export async function recoverSandbox(
  sandbox: Sandbox,
  opts: RecoverOpts,
): Promise<ReadySandbox | null> {
  const { state, vm } = sandbox.record;
  if (state === "stopped" || state === "failed") return null;
  try {
    if (state === "creating" || state === "booting") return await endStart(sandbox, opts);
    if (vm?.nonce == null) throw new MsbError("MSB_ERR_INTERNAL", "Its record names no microVM.");
    const adopted = await opts.deps.guests.adopt(vm.id, { nonce: vm.nonce });
    if ("ended" in adopted) return ended(sandbox, adopted.ended);
    return state === "running"
      ? await goOn(sandbox, adopted, vm, opts)
      : await finishStop(sandbox, adopted);
  } catch (error) {
    await giveUp(sandbox, error, opts);
    return null;
  } finally {
    await sandbox.saveOrWarn();
  }
}

/** A start that another server had begun: nobody waits for it, and how far it came is not known. */
async function endStart(sandbox: Sandbox, { deps }: RecoverOpts): Promise<null> {
  const { vm } = sandbox.record;
  if (vm !== null) await deps.guests.destroy(vm.id);
  const at = sandbox.nowIso();
  const message = "The server ended while the sandbox was starting.";
  const failure = { code: "MSB_ERR_BOOT_FAILED", message, at };
  const patch = { vm: null, kernels: null, stoppedAt: at, failure };
  sandbox.change("failed", patch, { type: "failed", message });
  return null;
}

/** Its VM ended while no server was there. A stop that had begun has reached its end. */
function ended(sandbox: Sandbox, exit: VmExit | null): null {
  const at = sandbox.nowIso();
  const gone = { vm: null, kernels: null, stoppedAt: at };
  if (sandbox.state === "stopping") {
    sandbox.change("stopped", gone, { type: "stopped", message: "The sandbox is stopped." });
    return null;
  }
  const end = vmEnd(exit, at);
  sandbox.change(end.state, { ...gone, failure: end.failure }, end.event);
  return null;
}

async function finishStop(sandbox: Sandbox, guest: RunningGuest): Promise<null> {
  await guest.stop();
  return ended(sandbox, null);
}

async function goOn(
  sandbox: Sandbox,
  guest: RunningGuest,
  vm: VmRecord,
  opts: RecoverOpts,
): Promise<ReadySandbox> {
  const { deps, admission } = opts;
  const { spec, kernels: snapshot, startedAt } = sandbox.record;
  const { env, workdir, user } = vm;
  const context = { env, workdir, user };
  const limit = AbortSignal.timeout(deps.bootTimeoutMs);
  // The callers of commands were the earlier server's clients.
  await closeCommands(guest.agent, snapshot);
  const kernels = await openSandboxKernels(sandbox, guest, context, {
    deps,
    signal: limit,
    ...(snapshot === null ? {} : { adopt: snapshot }),
  });
  await sandbox.console.resume();
  sandbox.update({ kernels: kernels.snapshot() });
  sandbox.event({
    type: "adopted",
    message: `This server goes on with the microVM ${guest.vm.id}.`,
    details: { vm: guest.vm.id, driver: guest.vm.driver },
  });
  return {
    guest,
    kernels,
    context,
    spec,
    startedAtMs: startedAt === null ? deps.clock.now() : Date.parse(startedAt),
    reservation: admission.take({ memoryMiB: spec.memoryMiB, vcpus: spec.cpus }),
    endConsole: sandbox.console.watch(guest.vm, deps.clock),
  };
}

/** There is no way to its guest: the VM is ended, if it is there. */
async function giveUp(sandbox: Sandbox, error: unknown, { deps }: RecoverOpts): Promise<void> {
  const { vm } = sandbox.record;
  let message = `The sandbox could not be taken over: ${messageOf(error)}`;
  if (vm !== null) {
    await deps.guests.destroy(vm.id).catch((problem: unknown) => {
      message += ` Its microVM ${vm.id} could not be ended: ${messageOf(problem)}`;
    });
  }
  const at = sandbox.nowIso();
  const code = isMsbError(error) ? error.code : "MSB_ERR_INTERNAL";
  const failure = { code, message, at };
  const patch = { vm: null, kernels: null, stoppedAt: at, failure };
  sandbox.change("failed", patch, { type: "failed", message });
}
