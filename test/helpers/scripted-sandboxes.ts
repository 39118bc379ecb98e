/** A sandbox service of the few methods that a test gives it; calls are remembered, all else is an error. */
import type { SandboxKey, SandboxMetrics, SandboxService } from "../../src/sandbox/service.js";

export interface ScriptedSandboxes extends SandboxService {
  /** Name of the method and its arguments, without signals. */
  readonly calls: unknown[][];
}

export function scriptedSandboxes(methods: Partial<SandboxService>): ScriptedSandboxes {
  const calls: unknown[][] = [];
  return new Proxy({ calls } as unknown as ScriptedSandboxes, {
    get: (target, name) => {
      if (name === "calls") return target.calls;
      const method = methods[name as keyof SandboxService] as
        ((...args: unknown[]) => unknown) | undefined;
      if (method === undefined) throw new Error(`the test did not expect ${String(name)}`);
      return (...args: unknown[]) => {
        calls.push([String(name), ...args.filter((arg) => !hasSignal(arg))]);
        return method(...args);
      };
    },
  });
}

function hasSignal(value: unknown): boolean {
  return typeof value === "object" && value !== null && "signal" in value;
}

export function sandboxMetrics(
  { namespace, name }: SandboxKey,
  given: Partial<SandboxMetrics> = {},
): SandboxMetrics {
  return {
    namespace,
    name,
    running: false,
    cpuPercent: null,
    memoryMiB: null,
    diskBytes: null,
    guest: null,
    ...given,
  };
}
