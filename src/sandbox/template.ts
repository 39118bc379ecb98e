/** A guest that is kept ready: with an image's disk mounted, its workdir made and its interpreter warm. */
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import type { AgentClient } from "../agent/agent-client.js";
import type { Kernels, KernelsSnapshot } from "../kernel/kernels.js";
import type { Language } from "../kernel/run-types.js";
import type { BootableImage } from "../oci/images.js";
import { tempName } from "../util/atomic-file.js";
import type { OnProgress } from "../util/progress.js";
import { closeCommands } from "./close-commands.js";
import { type GuestContext, guestContext } from "./guest-env.js";
import type { HeadStart, TemplateShape, TemplateSpec } from "./head-start.js";
import type { GuestConfig, GuestSaving, SavedGuest } from "./guest-source.js";
import type { SandboxDeps } from "./manager-opts.js";
import { languageAhead, type Prewarm } from "./prewarm.js";
import type { SandboxSpec } from "./service.js";
import { WarmSteps } from "./warm-steps.js";
import { makeWorkdir } from "./workdir.js";

const MIB = 1024 ** 2;
const WARM_TIMEOUT_MS = 30_000;

export interface Template {
  readonly spec: TemplateSpec;
  /** As `GuestSaving.fingerprint` was before it was made. */
  readonly madeWith: string;
  readonly guest: SavedGuest;
  /** Of interpreters that have the spec's context. */
  readonly kernels: KernelsSnapshot;
}

export function templateShape(
  image: Pick<BootableImage, "disk">,
  { cpus, memoryMiB, diskMiB }: Pick<SandboxSpec, "cpus" | "memoryMiB" | "diskMiB">,
): TemplateShape {
  return { imageDisk: image.disk.path, cpus, memoryMiB, diskMiB };
}

export function keyOf({ imageDisk, cpus, memoryMiB, diskMiB }: TemplateShape): string {
  return JSON.stringify([imageDisk, cpus, memoryMiB, diskMiB]);
}

/** The config of a guest that nobody has yet. */
export function configOf(
  { imageDisk, cpus, memoryMiB }: TemplateShape,
  { id, upperDisk }: Pick<GuestConfig, "id" | "upperDisk">,
): GuestConfig {
  return { id, vcpuCount: cpus, memoryMiB, imageDisk, upperDisk };
}

/** The template that would have served a sandbox; it has nothing of the sandbox's own. */
export function templateSpec(
  image: BootableImage,
  spec: SandboxSpec,
  prewarm: Prewarm,
): TemplateSpec {
  const context = guestContext(image.config, { env: [], workdir: null, user: null });
  const language = languageAhead(prewarm, spec.image, image.config);
  return {
    ...templateShape(image, spec),
    context,
    ...(language === undefined ? {} : { language }),
  };
}

/** How kernels are opened in a guest that had a head start: its interpreters serve in their own context only. */
export async function adoptedKernels(
  agent: AgentClient,
  headStart: Pick<HeadStart, "spec" | "kernels"> | undefined,
  context: GuestContext,
): Promise<{ readonly adopt?: KernelsSnapshot; readonly isResumed?: boolean }> {
  if (headStart === undefined) return {};
  if (isDeepStrictEqual(headStart.spec.context, context)) {
    return { adopt: headStart.kernels, isResumed: true };
  }
  await closeCommands(agent, null);
  return {};
}

/** How a guest is made ready ahead. */
export interface MakeGuestOpts {
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

export type TemplateDeps = Pick<
  SandboxDeps,
  "paths" | "openKernels" | "makeUpperDisk" | "bootTimeoutMs"
>;

/** Throws what each step throws; leaves nothing behind then. */
export async function makeTemplate(
  spec: TemplateSpec,
  saving: GuestSaving,
  deps: TemplateDeps,
  { signal, onProgress }: MakeGuestOpts,
): Promise<Template> {
  const madeWith = await saving.fingerprint(spec.imageDisk);
  const steps = new WarmSteps(onProgress);
  steps.begin("boot");
  // Its name says whose it is: should this process be killed before it is removed, others sweep it.
  const upperDisk = deps.paths.tempFile(tempName("template-disk"));
  try {
    await deps.makeUpperDisk(upperDisk, { sizeBytes: spec.diskMiB * MIB, signal });
    const config = configOf(spec, { id: `tp-${randomBytes(6).toString("hex")}`, upperDisk });
    const { saved, prepared } = await saving.make(
      config,
      async (agent) => {
        steps.begin("warm-up");
        const kernels = await prepareGuest(agent, spec, deps, signal);
        steps.begin("save");
        return kernels;
      },
      { hostname: "template", timeoutMs: deps.bootTimeoutMs, signal },
    );
    steps.end(saved.vm.memoryBytes);
    return { spec, madeWith, guest: saved, kernels: prepared };
  } finally {
    await rm(upperDisk, { force: true });
  }
}

/** What programs of the image find: its folder, and its interpreter, which has run some code. */
export async function prepareGuest(
  agent: AgentClient,
  { context, language }: TemplateSpec,
  deps: Pick<SandboxDeps, "openKernels">,
  signal: AbortSignal,
): Promise<KernelsSnapshot> {
  const { env, workdir, user } = context;
  await makeWorkdir(agent, workdir, signal);
  const kernels = await deps.openKernels(agent, { env, workdir, user });
  let snapshot: KernelsSnapshot;
  try {
    if (language !== undefined) await warm(kernels, language, signal);
    snapshot = kernels.snapshot();
  } finally {
    kernels.close();
  }
  // What is under way to the guest has arrived then, and the next connection finds it between two frames.
  await agent.ping("", { signal });
  return snapshot;
}

/** The first code is the slowest. Any that names nothing will do. */
async function warm(kernels: Kernels, language: Language, signal: AbortSignal): Promise<void> {
  await kernels.prewarm(language);
  const request = { language, code: "1", timeoutMs: WARM_TIMEOUT_MS };
  for await (const _event of kernels.run(request, { signal }));
}
