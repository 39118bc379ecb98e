/** Keeps an agent's connection up: a VM ends when nobody has been connected for as long as its lease. */
import type { AgentClient } from "../agent/agent-client.js";
import type { Clock } from "../util/clock.js";

const FIRST_WAIT_MS = 50;
const MAX_WAIT_MS = 5_000;
const CONNECT_TIMEOUT_MS = 10_000;

/** Connects again after each loss, until the function that this gives is called. */
export function keepConnected(
  agent: Pick<AgentClient, "onDisconnect" | "reconnect" | "isConnected">,
  clock: Clock,
): () => void {
  let isOver = false;
  let isTrying = false;
  let callOff = (): void => {};
  const attempt = (waitMs: number): void => {
    callOff = clock.after(waitMs, () => {
      agent.reconnect({ signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) }).then(
        () => {
          isTrying = false;
          if (!agent.isConnected) start();
        },
        () => {
          if (!isOver) attempt(Math.min(waitMs * 2, MAX_WAIT_MS));
        },
      );
    });
  };
  const start = (): void => {
    if (isOver || isTrying) return;
    isTrying = true;
    attempt(FIRST_WAIT_MS);
  };
  const unsubscribe = agent.onDisconnect(start);
  if (!agent.isConnected) start();
  return () => {
    isOver = true;
    callOff();
    unsubscribe();
  };
}
