/** Ends what runs in a guest that was taken over, where nobody will ever hear how it ends. */
import type { AgentClient } from "../agent/agent-client.js";
import type { KernelsSnapshot } from "../kernel/kernels.js";

/** All but the interpreters of `kept`. */
export async function closeCommands(
  agent: AgentClient,
  kept: KernelsSnapshot | null,
): Promise<void> {
  const ofKernels = new Set(kept?.contexts.map(({ stream }) => stream));
  const others = agent.hello.execs.filter(({ stream }) => !ofKernels.has(stream));
  for (const { stream } of others) {
    const session = await agent.adopt(stream);
    await session.close();
  }
}
