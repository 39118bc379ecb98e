/** sandbox.metrics.get */
import { Type } from "@sinclair/typebox";
import { namespaceProblem, sandboxNameProblem } from "../../../api/names.js";
import { Nullable } from "../../../api/schema.js";
import { isMsbError, MsbError } from "../../../errors.js";
import type { SandboxKey, SandboxMetrics, SandboxService } from "../../../sandbox/service.js";
import { ANY_NAMESPACE } from "../../auth/authenticator.js";
import { checkNamespaceExists, paramsReader, type RpcCall, type RpcMethod } from "../method.js";

const readParams = paramsReader(
  "sandbox.metrics.get",
  Type.Object({ namespace: Type.String(), sandbox: Type.Optional(Nullable(Type.String())) }),
);

export const metrics: RpcMethod = async ({ sandboxes }, { params, signal }) => {
  const { namespace, sandbox } = readParams(params);
  const name = sandbox ?? null;
  const isAny = namespace === ANY_NAMESPACE;
  const problem =
    (name === null ? null : sandboxNameProblem(name)) ??
    (isAny ? null : namespaceProblem(namespace));
  if (problem !== null) throw new MsbError("MSB_ERR_INVALID_ARGUMENT", problem);
  if (!isAny) checkNamespaceExists(sandboxes, namespace);
  // One that is asked for by its full name has to be there; clients look at the first element without asking.
  if (name !== null && !isAny) {
    return { sandboxes: [view(await sandboxes.metrics({ namespace, name }, { signal }))] };
  }
  const keys = sandboxes
    .list(isAny ? {} : { namespace })
    .filter((info) => name === null || info.name === name);
  const all = await Promise.all(keys.map((key) => metricsIfThere(sandboxes, key, signal)));
  return { sandboxes: all.filter((one) => one !== null).map((one) => view(one)) };
};

/** Null for one that was removed since it was listed. */
async function metricsIfThere(
  sandboxes: SandboxService,
  { namespace, name }: SandboxKey,
  signal: RpcCall["signal"],
): Promise<SandboxMetrics | null> {
  try {
    return await sandboxes.metrics({ namespace, name }, { signal });
  } catch (error) {
    if (isMsbError(error, "MSB_ERR_SANDBOX_NOT_FOUND")) return null;
    throw error;
  }
}

/** Exactly these six members. */
function view({ namespace, name, running, cpuPercent, memoryMiB, diskBytes }: SandboxMetrics) {
  const whole = (value: number | null): number | null =>
    value === null || !running ? null : Math.floor(value);
  return {
    namespace,
    name,
    running,
    cpu_usage: running ? cpuPercent : null,
    memory_usage: whole(memoryMiB),
    disk_usage: whole(diskBytes),
  };
}
