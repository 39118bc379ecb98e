/** The kernels of a sandbox: their changes go into its record, and its own interpreter starts ahead of its first code. */
import { messageOf } from "../errors.js";
import type { Kernels, KernelsSnapshot } from "../kernel/kernels.js";
import type { Language } from "../kernel/run-types.js";
import { abortable } from "../util/async.js";
import type { GuestContext } from "./guest-env.js";
import type { RunningGuest } from "./guest-source.js";
import type { SandboxDeps } from "./manager-opts.js";
import type { Sandbox } from "./sandbox.js";

export interface OpenSandboxKernelsOpts {
  readonly deps: Pick<SandboxDeps, "openKernels" | "maxOutputBytes">;
  readonly signal: AbortSignal;
  readonly adopt?: KernelsSnapshot;
  /** What is adopted is a template's. */
  readonly isResumed?: boolean;
}

export async function openSandboxKernels(
  sandbox: Sandbox,
  guest: RunningGuest,
  context: GuestContext,
  opts: OpenSandboxKernelsOpts,
): Promise<Kernels> {
  const { deps, signal, adopt, isResumed = false } = opts;
  let kernels: Kernels | undefined;
  const onChange = (): void => {
    if (kernels === undefined || !isOf(sandbox, guest)) return;
    sandbox.update({ kernels: kernels.snapshot() });
    void sandbox.saveOrWarn();
  };
  const { env, workdir, user } = context;
  const { maxOutputBytes } = deps;
  const kept = adopt === undefined ? {} : { adopt, isResumed };
  const opening = deps.openKernels(guest.agent, {
    env,
    workdir,
    user,
    maxOutputBytes,
    onChange,
    ...kept,
  });
  try {
    kernels = await abortable(opening, signal, "The start");
  } catch (error) {
    // Nobody is left to use them if they come after all.
    opening.then(
      (late) => late.close(),
      () => {},
    );
    throw error;
  }
  return kernels;
}

/** Resolves when it runs; that it cannot is an event and no more. */
export async function prewarm(
  sandbox: Sandbox,
  guest: RunningGuest,
  kernels: Kernels,
  language: Language,
): Promise<void> {
  try {
    await kernels.prewarm(language);
  } catch (error) {
    const isStill = sandbox.state === "booting" || sandbox.state === "running";
    if (!isStill || !isOf(sandbox, guest)) return;
    const message = `The ${language} interpreter could not be started ahead of its first code: ${messageOf(error)}`;
    sandbox.event({ type: "prewarm-failed", message, details: { language } });
  }
}

function isOf(sandbox: Sandbox, guest: RunningGuest): boolean {
  return sandbox.record.vm?.id === guest.vm.id;
}
