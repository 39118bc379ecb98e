/** Makes ready, before anybody asks for a sandbox, what those of one kind start from. */
import type { OnProgress } from "../util/progress.js";
import type { Admission } from "./admission.js";
import type { HeadStarts } from "./head-start.js";
import type { SandboxDeps } from "./manager-opts.js";
import type { SandboxSpec, WarmedImage } from "./service.js";
import { templateSpec } from "./template.js";

export interface WarmImageOpts {
  readonly deps: Pick<SandboxDeps, "images" | "prewarm">;
  readonly admission: Pick<Admission, "checkFits">;
  readonly headStarts: HeadStarts;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** Throws as `SandboxService.warm`. */
export async function warmImage(spec: SandboxSpec, opts: WarmImageOpts): Promise<WarmedImage> {
  const { deps, admission, headStarts, signal, onProgress } = opts;
  const { cpus, memoryMiB, diskMiB } = spec;
  // What no sandbox could use, or nothing could be made of, brings no image either.
  admission.checkFits({ memoryMiB, vcpus: cpus });
  await headStarts.requireOn();
  await using pin = await deps.images.hold();
  const image = await deps.images.ensure(spec.image, {
    pin,
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  });
  const ready = await headStarts.warm(templateSpec(image, spec, deps.prewarm), {
    signal,
    onProgress,
    image: { digest: image.digest, keep: () => deps.images.keep(image.digest) },
  });
  return { image: spec.image, imageDigest: image.digest, memoryMiB, cpus, diskMiB, ...ready };
}
