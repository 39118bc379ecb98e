/** `config` of a start on the old wire, as the service wants it. */
import { MsbError } from "../../errors.js";
import type { SandboxSpecOpts } from "../../sandbox/service.js";

/** Members that are null count as absent; those that are not here are ignored, as the old server did. */
export interface StartConfig {
  readonly image?: string | null | undefined;
  readonly memory?: number | null | undefined;
  readonly cpus?: number | null | undefined;
  readonly envs?: readonly string[] | null | undefined;
  readonly workdir?: string | null | undefined;
  readonly volumes?: readonly unknown[] | null | undefined;
  readonly ports?: readonly unknown[] | null | undefined;
}

/** null without an image: the stored spec. Throws MSB_ERR_INVALID_ARGUMENT for what cannot be given; `what` begins it. */
export function startSpec(
  config: StartConfig | null | undefined,
  what: string,
): SandboxSpecOpts | null {
  if (config === null || config === undefined) return null;
  refuseWhatIsNotDone(config, what);
  const { image, memory, cpus, envs, workdir } = config;
  if (typeof image !== "string") return null;
  return {
    image,
    ...(typeof memory === "number" ? { memoryMiB: memory } : {}),
    ...(typeof cpus === "number" ? { cpus } : {}),
    ...(Array.isArray(envs) ? { env: envs as readonly string[] } : {}),
    ...(typeof workdir === "string" ? { workdir } : {}),
  };
}

/** These cannot be ignored in silence: the caller's files or ports would not be there. The old SDKs never send them. */
function refuseWhatIsNotDone({ volumes, ports, cpus, memory }: StartConfig, what: string): void {
  const refuse = (detail: string): never => {
    throw new MsbError("MSB_ERR_INVALID_ARGUMENT", `${what}: ${detail}`);
  };
  if ((volumes?.length ?? 0) > 0) {
    refuse("volumes are not supported: no folder of the host is shared with a sandbox");
  }
  if ((ports?.length ?? 0) > 0) {
    refuse("ports are not supported: a sandbox has no network that could be mapped");
  }
  if (cpus === 0) refuse("cpus must be at least 1: a sandbox without one never boots");
  if (memory === 0) refuse("memory must be at least 1 MiB");
}
