/** Keeps a guest's agent connected for as long as its VM lives, or ends the VM: nobody could talk to it. */
import { setTimeout as sleep } from "node:timers/promises";
import type { AgentClient } from "../agent/agent-client.js";
import { isMsbError, MsbError } from "../errors.js";
import type { MicroVm } from "../hypervisor/driver.js";

/** Before each try to connect again. Only a connection that has lasted begins anew with the first. */
const DEFAULT_WAITS_MS = [0, 100, 300, 900, 2_700] as const;
/** For all tries after one loss; what is left of it bounds each of them. Also what lasting means. */
const DEFAULT_LIMIT_MS = 5_000;

export interface KeepAgentOpts {
  readonly waitsMs?: readonly number[];
  readonly limitMs?: number;
}

/**
 * Connects `agent` again whenever it loses its connection without having asked for it. When that fails, or
 * when the guest broke the protocol, the agent is closed with the reason and the VM is stopped.
 */
export function keepAgent(vm: MicroVm, agent: AgentClient, opts: KeepAgentOpts = {}): void {
  const { waitsMs = DEFAULT_WAITS_MS, limitMs = DEFAULT_LIMIT_MS } = opts;
  const ended = new AbortController();
  let loss: MsbError | undefined;
  let isRestoring = false;
  let tries = 0;
  let connectedAt = performance.now();
  agent.onDisconnect((error) => {
    loss = error;
    // A connection that is lost while it is made is a failed try.
    if (isRestoring || !agent.isConnectionWanted) return;
    isRestoring = true;
    if (performance.now() - connectedAt >= limitMs) tries = 0;
    void restore().finally(() => (isRestoring = false));
  });
  void vm.exited.then(() => ended.abort());

  async function restore(): Promise<void> {
    const deadline = performance.now() + limitMs;
    while (tries < waitsMs.length && !isFinal(loss)) {
      await sleep(waitsMs[tries++], undefined, { signal: ended.signal }).catch(() => {});
      if (ended.signal.aborted || !agent.isConnectionWanted) return;
      const leftMs = Math.floor(deadline - performance.now());
      if (leftMs <= 0) break;
      loss = await reconnect(leftMs);
      connectedAt = performance.now();
      if (agent.isConnected) return;
    }
    if (ended.signal.aborted || !agent.isConnectionWanted) return;
    agent.close(loss);
    await vm.stop();
  }

  async function reconnect(leftMs: number): Promise<MsbError | undefined> {
    const before = loss;
    try {
      const signal = AbortSignal.any([ended.signal, AbortSignal.timeout(leftMs)]);
      await agent.reconnect({ signal });
      // It may have been lost again in the very moment it was there.
      return loss === before ? undefined : loss;
    } catch (error) {
      return error instanceof MsbError ? error : before;
    }
  }
}

/** Will the next try end the same way? A guest that broke the protocol gets none. */
function isFinal(loss: MsbError | undefined): boolean {
  return (
    loss !== undefined &&
    !isMsbError(loss, "MSB_ERR_AGENT_UNREACHABLE") &&
    !isMsbError(loss, "MSB_ERR_REQUEST_TIMEOUT")
  );
}
