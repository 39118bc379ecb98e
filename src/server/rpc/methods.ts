/** The methods of JSON-RPC, by their names. */
import { commandRun } from "./methods/command.js";
import { metrics } from "./methods/metrics.js";
import { replRun } from "./methods/repl.js";
import { start } from "./methods/start.js";
import { stop } from "./methods/stop.js";
import type { RpcMethod } from "./method.js";

export const RPC_METHODS: ReadonlyMap<string, RpcMethod> = new Map([
  ["sandbox.start", start],
  ["sandbox.stop", stop],
  ["sandbox.metrics.get", metrics],
  ["sandbox.repl.run", replRun],
  ["sandbox.command.run", commandRun],
]);
