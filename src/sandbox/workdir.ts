/** The folder that programs of a guest begin in. */
import type { AgentClient } from "../agent/agent-client.js";
import { abortable } from "../util/async.js";

/** An image may name a folder that it does not have. */
export async function makeWorkdir(
  agent: Pick<AgentClient, "files">,
  workdir: string,
  signal: AbortSignal,
): Promise<void> {
  if (workdir === "/") return;
  await abortable(agent.files.mkdir(workdir, { recursive: true }), signal, "The start");
}
