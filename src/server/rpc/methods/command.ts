/** sandbox.command.run */
import { Type } from "@sinclair/typebox";
import { Nullable } from "../../../api/schema.js";
import { isMsbError, MsbError } from "../../../errors.js";
import { commandResult } from "../../calls/results.js";
import { paramsReader, requireRunning, type RpcMethod, timeoutMs } from "../method.js";

const METHOD = "sandbox.command.run";

const readTarget = paramsReader(
  METHOD,
  Type.Object({ sandbox: Type.String(), namespace: Type.String() }),
);
const readCommand = paramsReader(
  METHOD,
  Type.Object({
    command: Type.String(),
    args: Type.Optional(Type.Array(Type.String())),
    timeout: Type.Optional(Nullable(Type.Integer({ minimum: 0 }))),
  }),
  "MSB_ERR_EXEC_FAILED",
);

export const commandRun: RpcMethod = async ({ sandboxes }, { params, signal }) => {
  const { sandbox: name, namespace } = readTarget(params);
  const { command, args = [], timeout } = readCommand(params);
  const key = { namespace, name };
  requireRunning(sandboxes, key);
  const seconds = timeout ?? null;
  // For the service 0 means no limit.
  if (seconds === 0) throw timedOut(seconds);
  try {
    const request = { command, args, timeoutMs: timeoutMs(seconds ?? 0) };
    return commandResult(request, await sandboxes.runCommand(key, request, { signal }));
  } catch (error) {
    if (!isMsbError(error, "MSB_ERR_EXEC_TIMEOUT") || seconds === null) throw error;
    throw timedOut(seconds, error);
  }
};

function timedOut(seconds: number, cause?: unknown): MsbError {
  const unit = seconds === 1 ? "second" : "seconds";
  return new MsbError("MSB_ERR_EXEC_TIMEOUT", `Command timeout after ${seconds} ${unit}`, {
    cause,
  });
}
