/** sandbox.stop */
import { Type } from "@sinclair/typebox";
import { stopText } from "../../calls/results.js";
import { checkNames, checkNamespaceExists, paramsReader, type RpcMethod } from "../method.js";

const readParams = paramsReader(
  "sandbox.stop",
  Type.Object({ sandbox: Type.String(), namespace: Type.String() }),
);

/** Answers when the guest is gone, so that a start that follows cannot meet it. */
export const stop: RpcMethod = async ({ sandboxes }, { params }) => {
  const { sandbox: name, namespace } = readParams(params);
  const key = { namespace, name };
  checkNames(key);
  checkNamespaceExists(sandboxes, namespace);
  await sandboxes.stop(key);
  return stopText(name);
};
