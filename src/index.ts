/** The entry `msb-ts`: the SDK, which needs nothing native; re-exports only. */
/// <reference lib="esnext.disposable" preserve="true" />
export { ERROR_CODES, type ErrorCode, type ErrorDetails, isMsbError, MsbError } from "./errors.js";
export {
  BaseSandbox,
  type ConnectOpts,
  type CreateOpts,
  type LogEntry,
  type LogsOpts,
  type SandboxInfo,
  type SandboxOpts,
} from "./sdk/base-sandbox.js";
export { MsbClient, type ProgressOpts } from "./sdk/client.js";
export type { ClientOpts } from "./sdk/client-settings.js";
export type { Command, CommandEvent, CommandOpts, CommandStreamOpts } from "./sdk/command.js";
export type { CommandEnd, CommandExecution } from "./sdk/command-execution.js";
export type { CodeContext, ContextInfo, Contexts, CreateContextOpts } from "./sdk/contexts.js";
export {
  AbortError,
  AuthenticationError,
  ConnectionError,
  ExecutionError,
  ImageError,
  InvalidArgumentError,
  InvalidStateError,
  LimitError,
  NotFoundError,
  ServerError,
  TimeoutError,
} from "./sdk/errors.js";
export type { CodeException, Execution, RichResult, RunEndReason } from "./sdk/execution.js";
export type { StopOpts } from "./sdk/lifecycle.js";
export type { GuestMetrics, Metrics, SandboxMetrics } from "./sdk/metrics.js";
export type { WaitOpts } from "./sdk/options.js";
export type { RunEvent, RunOpts, RunStreamOpts } from "./sdk/run-code.js";
export {
  type LanguageOpts,
  type ListOpts,
  NodeSandbox,
  PythonSandbox,
  Sandbox,
} from "./sdk/sandboxes.js";
export type { Language } from "./sdk/session.js";
export type { ImageProgress, StartOpts } from "./sdk/start-options.js";
export type { CallOpts } from "./sdk/transport.js";
