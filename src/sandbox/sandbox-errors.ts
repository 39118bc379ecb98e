/** Why a sandbox cannot be had: the one place that words it. */
import { MsbError } from "../errors.js";
import { printable } from "../util/printable.js";
import type { Sandbox } from "./sandbox.js";
import { keyText } from "./sandbox-name.js";
import type { SandboxKey } from "./service.js";

/** When to try again, for those who were refused for want of room. */
export const RETRY_AFTER_SECONDS = 5;

export function notFound(key: SandboxKey): MsbError {
  // Nobody has checked this name.
  const name = printable(keyText(key).slice(0, 200));
  return new MsbError("MSB_ERR_SANDBOX_NOT_FOUND", `There is no sandbox ${name}.`, {
    details: { sandbox: name },
  });
}

/** For a start without a spec. */
export function neverStarted(key: SandboxKey): MsbError {
  return new MsbError(
    "MSB_ERR_SANDBOX_NOT_FOUND",
    `There is no sandbox ${keyText(key)} that could be started again. Create it first.`,
    { details: { sandbox: keyText(key) } },
  );
}

export function exists(key: SandboxKey): MsbError {
  return new MsbError(
    "MSB_ERR_SANDBOX_EXISTS",
    `There is a sandbox ${keyText(key)} already. Start it, remove it first, or take another name.`,
    { details: { ...key } },
  );
}

export function mustBeStopped(sandbox: Sandbox): MsbError {
  return new MsbError(
    "MSB_ERR_INVALID_STATE",
    `The sandbox ${sandbox.name} is ${sandbox.state}. Stop it first, or remove it with force.`,
    { details: { ...sandbox.key, state: sandbox.state } },
  );
}

export function shuttingDown(): MsbError {
  return new MsbError(
    "MSB_ERR_SHUTTING_DOWN",
    "The server is shutting down. Try again when it is back.",
  );
}

export function unusable(key: SandboxKey, problem: string): MsbError {
  return new MsbError("MSB_ERR_HOME_UNUSABLE", problem, { details: { ...key } });
}
