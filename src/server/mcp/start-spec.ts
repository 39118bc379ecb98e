/** What a tool call says of a sandbox, as the service wants it. */
import { MsbError } from "../../errors.js";
import type { SandboxSpecOpts } from "../../sandbox/service.js";
import type { StartArgs } from "./tools.js";

/** What the old server took and this one has nothing for; an empty list asks for nothing. */
const UNSUPPORTED = ["volumes", "ports"] as const;

/** null without an image: the stored spec. Throws MSB_ERR_INVALID_ARGUMENT for what cannot be given. */
export function startSpec(config: StartArgs["config"]): SandboxSpecOpts | null {
  for (const key of UNSUPPORTED) {
    const value = (config as Record<string, unknown> | undefined)?.[key];
    if (Array.isArray(value) && value.length > 0) {
      throw new MsbError(
        "MSB_ERR_INVALID_ARGUMENT",
        `config.${key} is not supported: a sandbox shares no folder and no port with the host. Leave it out.`,
        { details: { option: key } },
      );
    }
  }
  if (config?.image === undefined) return null;
  const { image, memory, cpus, envs, workdir } = config;
  return {
    image,
    ...(memory === undefined ? {} : { memoryMiB: memory }),
    ...(cpus === undefined ? {} : { cpus }),
    ...(envs === undefined ? {} : { env: envs }),
    ...(workdir === undefined ? {} : { workdir }),
  };
}
