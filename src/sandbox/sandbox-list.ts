/** Many sandboxes at once: which ones, in which order, how many of each state. */
import {
  SANDBOX_STATES,
  type SandboxFilter,
  type SandboxInfo,
  type SandboxState,
} from "./service.js";

export function matches(info: SandboxInfo, filter: SandboxFilter): boolean {
  const { namespace, states, labels = {} } = filter;
  return (
    (namespace === undefined || info.namespace === namespace) &&
    (states === undefined || states.includes(info.state)) &&
    Object.entries(labels).every(
      ([name, value]) => Object.hasOwn(info.spec.labels, name) && info.spec.labels[name] === value,
    )
  );
}

/** By namespace, then by name, the same on every host. */
export function sortedInfos(infos: readonly SandboxInfo[]): SandboxInfo[] {
  return infos.toSorted((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name));
}

export function countStates(states: readonly SandboxState[]): Record<SandboxState, number> {
  const counts = Object.fromEntries(SANDBOX_STATES.map((state) => [state, 0]));
  for (const state of states) counts[state] = (counts[state] ?? 0) + 1;
  return counts as Record<SandboxState, number>;
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
