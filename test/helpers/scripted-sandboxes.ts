/** A sandbox service of the few methods that a test gives it; calls are remembered, all else is an error. */
import type {
  SandboxInfo,
  SandboxKey,
  SandboxMetrics,
  SandboxService,
} from "../../src/sandbox/service.js";

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

export function sandboxInfo(key: SandboxKey): SandboxInfo {
  return {
    ...key,
    state: "running",
    spec: {
      image: "python",
      memoryMiB: 512,
      cpus: 1,
      diskMiB: 4096,
      env: [],
      workdir: null,
      user: null,
      labels: {},
      idleTimeoutMs: 0,
      maxLifetimeMs: 0,
    },
    imageDigest: null,
    createdAt: "2026-01-01T00:00:00.000Z",
    startedAt: null,
    stoppedAt: null,
    stages: [],
    failure: null,
    vm: null,
  };
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
