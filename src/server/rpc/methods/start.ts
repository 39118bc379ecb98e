/** sandbox.start */
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Nullable } from "../../../api/schema.js";
import { type ErrorCode, isMsbError, MsbError } from "../../../errors.js";
import type { SandboxKey, SandboxService, SandboxSpecOpts } from "../../../sandbox/service.js";
import { checkNames, findSandbox, paramsReader, type RpcMethod } from "../method.js";

const METHOD = "sandbox.start";
const TIMEOUTS: ReadonlySet<ErrorCode> = new Set([
  "MSB_ERR_BOOT_TIMEOUT",
  "MSB_ERR_REQUEST_TIMEOUT",
]);

const Given = <T extends TSchema>(schema: T) => Type.Optional(Nullable(schema));

const Config = Type.Object({
  image: Given(Type.String()),
  memory: Given(Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 })),
  cpus: Given(Type.Integer({ minimum: 0, maximum: 255 })),
  envs: Given(Type.Array(Type.String())),
  workdir: Given(Type.String()),
  volumes: Given(Type.Array(Type.String())),
  ports: Given(Type.Array(Type.String())),
});
type Config = Static<typeof Config>;

const readParams = paramsReader(
  METHOD,
  Type.Object({ sandbox: Type.String(), namespace: Type.String(), config: Given(Config) }),
);

export const start: RpcMethod = async ({ sandboxes }, { params, signal }) => {
  const { sandbox: name, namespace, config } = readParams(params);
  const key = { namespace, name };
  checkNames(key);
  try {
    await sandboxes.start(key, specOf(sandboxes, key, config ?? null), { signal });
  } catch (error) {
    throw withoutTheWord(error);
  }
  return `Sandbox ${name} started successfully`;
};

/** Null for the stored one. Throws MSB_ERR_INVALID_ARGUMENT. */
function specOf(
  sandboxes: SandboxService,
  key: SandboxKey,
  config: Config | null,
): SandboxSpecOpts | null {
  if (config !== null) refuseWhatIsNotDone(config);
  const { image, memory, cpus, envs, workdir } = config ?? {};
  if (typeof image !== "string") {
    requireStored(sandboxes, key);
    return null;
  }
  return {
    image,
    ...(typeof memory === "number" ? { memoryMiB: memory } : {}),
    ...(typeof cpus === "number" ? { cpus } : {}),
    ...(Array.isArray(envs) ? { env: envs } : {}),
    ...(typeof workdir === "string" ? { workdir } : {}),
  };
}

/**
 * Members that this server does not know are ignored, as the old one did. These two it could not ignore in silence:
 * the caller's files or ports would not be there. The old SDKs never send them.
 */
function refuseWhatIsNotDone({ volumes, ports, cpus, memory }: Config): void {
  if ((volumes?.length ?? 0) > 0) {
    throw invalid("volumes are not supported: no folder of the host is shared with a sandbox");
  }
  if ((ports?.length ?? 0) > 0) {
    throw invalid("ports are not supported: a sandbox has no network that could be mapped");
  }
  if (cpus === 0) throw invalid("cpus must be at least 1: a sandbox without one never boots");
  if (memory === 0) throw invalid("memory must be at least 1 MiB");
}

function requireStored(sandboxes: SandboxService, key: SandboxKey): void {
  if (findSandbox(sandboxes, key) !== null) return;
  throw new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    sandboxes.hasNamespace(key.namespace)
      ? `Sandbox '${key.name}' not found in existing configuration`
      : `No configuration provided and no existing configuration found for sandbox '${key.name}'`,
  );
}

/**
 * The old JavaScript SDK replaces every message with the word "timeout" in it by one about its own timeout, so it is
 * only in those that are about one.
 */
function withoutTheWord(error: unknown): unknown {
  if (!isMsbError(error) || TIMEOUTS.has(error.code) || !/timeout/i.test(error.message))
    return error;
  const message = error.message.replaceAll(/(time)(out)/gi, "$1-$2");
  return new MsbError(error.code, message, { cause: error, details: error.details });
}

function invalid(detail: string): MsbError {
  return new MsbError("MSB_ERR_INVALID_ARGUMENT", `Invalid params for ${METHOD}: ${detail}`);
}
