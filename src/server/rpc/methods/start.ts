/** sandbox.start */
import { type TSchema, Type } from "@sinclair/typebox";
import { Nullable } from "../../../api/schema.js";
import { type ErrorCode, isMsbError, MsbError } from "../../../errors.js";
import type { SandboxKey, SandboxService } from "../../../sandbox/service.js";
import { startText } from "../../calls/results.js";
import { startSpec } from "../../calls/start-config.js";
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

const readParams = paramsReader(
  METHOD,
  Type.Object({ sandbox: Type.String(), namespace: Type.String(), config: Given(Config) }),
);

/**
 * Not tied to its caller: an image that takes longer to come than a client waits would never be there, and who asks
 * again finds the sandbox running.
 */
export const start: RpcMethod = async ({ sandboxes }, { params }) => {
  const { sandbox: name, namespace, config } = readParams(params);
  const key = { namespace, name };
  checkNames(key);
  try {
    const spec = startSpec(config, `Invalid params for ${METHOD}`);
    if (spec === null) requireStored(sandboxes, key);
    await sandboxes.start(key, spec);
  } catch (error) {
    throw withoutTheWord(error);
  }
  return startText(name);
};

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
