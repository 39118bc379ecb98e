/** sandbox.metrics.get */
import { Type } from "@sinclair/typebox";
import { namespaceProblem, sandboxNameProblem } from "../../../api/names.js";
import { Nullable } from "../../../api/schema.js";
import { MsbError } from "../../../errors.js";
import { ANY_NAMESPACE } from "../../auth/authenticator.js";
import { readMetrics } from "../../calls/read-metrics.js";
import { metricsResult } from "../../calls/results.js";
import { checkNamespaceExists, paramsReader, type RpcMethod } from "../method.js";

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
  return metricsResult(await readMetrics(sandboxes, namespace, name, signal));
};
