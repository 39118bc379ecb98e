/** What a method of JSON-RPC is, and the checks that several of them make. */
import type { Static, TSchema } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { namespaceProblem, sandboxNameProblem } from "../../api/names.js";
import { type ErrorCode, isMsbError, MsbError } from "../../errors.js";
import type { SandboxInfo, SandboxKey, SandboxService } from "../../sandbox/service.js";
import { describeProblem } from "../validation.js";
import type { AppDeps } from "../deps.js";

export type RpcDeps = Pick<AppDeps, "sandboxes" | "config">;

export interface RpcCall {
  readonly params: unknown;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/** Gives the result of the call. Throws MsbError. */
export type RpcMethod = (deps: RpcDeps, call: RpcCall) => Promise<unknown>;

/**
 * A reader of params. What is wrong with them is the caller's error, or with the code of a failed run a failed call,
 * which is what the old server made of it where its guest did the check.
 */
export function paramsReader<T extends TSchema>(
  method: string,
  schema: T,
  code: ErrorCode = "MSB_ERR_INVALID_ARGUMENT",
): (params: unknown) => Static<T> {
  const compiled = TypeCompiler.Compile(schema);
  return (params) => {
    if (compiled.Check(params)) return params;
    throw invalidParams(method, describeProblem(compiled.Errors(params)), code);
  };
}

export function invalidParams(
  method: string,
  detail: string,
  code: ErrorCode = "MSB_ERR_INVALID_ARGUMENT",
): MsbError {
  return new MsbError(code, `Invalid params for ${method}: ${detail}`);
}

/** Throws MSB_ERR_INVALID_ARGUMENT. */
export function checkNames(key: SandboxKey): void {
  const problem = sandboxNameProblem(key.name) ?? namespaceProblem(key.namespace);
  if (problem !== null) throw new MsbError("MSB_ERR_INVALID_ARGUMENT", problem);
}

/** Throws MSB_ERR_INVALID_ARGUMENT. */
export function checkNamespaceExists(
  sandboxes: Pick<SandboxService, "hasNamespace">,
  namespace: string,
): void {
  if (sandboxes.hasNamespace(namespace)) return;
  throw new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    `Namespace directory '${namespace}' does not exist`,
  );
}

export function findSandbox(
  sandboxes: Pick<SandboxService, "get">,
  key: SandboxKey,
): SandboxInfo | null {
  try {
    return sandboxes.get(key);
  } catch (error) {
    if (isMsbError(error, "MSB_ERR_SANDBOX_NOT_FOUND")) return null;
    throw error;
  }
}

/** Throws MSB_ERR_SANDBOX_NOT_FOUND, MSB_ERR_INVALID_STATE. */
export function requireRunning(sandboxes: Pick<SandboxService, "get">, key: SandboxKey): void {
  const { state } = sandboxes.get(key);
  if (state === "running") return;
  throw new MsbError(
    "MSB_ERR_INVALID_STATE",
    `Sandbox '${key.name}' is ${state}. Start it first.`,
    { details: { state } },
  );
}

/** From seconds, as far as a timer goes; 0 stays 0. */
export function timeoutMs(seconds: number): number {
  return Math.min(seconds * 1000, 2 ** 31 - 1);
}
