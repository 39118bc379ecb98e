/** What a sandbox uses. */
import type { MetricsView } from "../api/sandboxes.js";
import { isMsbError } from "../errors.js";
import { callOpts, type WaitOpts } from "./options.js";
import type { Session } from "./session.js";

/** What the guest says of itself; it may lie. */
export type GuestMetrics = NonNullable<MetricsView["guest"]>;

/** The numbers are null while the sandbox does not run. */
export interface SandboxMetrics {
  readonly name: string;
  readonly namespace: string;
  readonly running: boolean;
  /** Percent of one host core; more than 100 with several CPUs. */
  readonly cpuUsage: number | null;
  /** MiB of the host's memory. */
  readonly memoryUsage: number | null;
  /** Bytes of the private disk. */
  readonly diskUsage: number | null;
  readonly guest: GuestMetrics | null;
}

/** Each call asks the server. */
export class Metrics {
  readonly #session: Session;

  /** Use `sandbox.metrics`. */
  constructor(session: Session) {
    this.#session = session;
  }

  /** Percent of one host core, since the sample before; more than 100 with several CPUs. Null when it does not run. */
  async cpu(opts: WaitOpts = {}): Promise<number | null> {
    return (await this.all(opts)).cpuUsage;
  }

  /** MiB of the host's memory. Null when it does not run. */
  async memory(opts: WaitOpts = {}): Promise<number | null> {
    return (await this.all(opts)).memoryUsage;
  }

  /** Bytes of the private disk. Null when it does not run. */
  async disk(opts: WaitOpts = {}): Promise<number | null> {
    return (await this.all(opts)).diskUsage;
  }

  /** False also when the sandbox is gone from the server. */
  async isRunning(opts: WaitOpts = {}): Promise<boolean> {
    try {
      return (await this.all(opts)).running;
    } catch (error) {
      if (isMsbError(error, "MSB_ERR_SANDBOX_NOT_FOUND")) return false;
      throw error;
    }
  }

  /** All of them, of one moment. */
  async all(opts: WaitOpts = {}): Promise<SandboxMetrics> {
    this.#session.requireStarted();
    const { client, key } = this.#session;
    const { name, namespace, running, ...used } = await client.metrics(key, callOpts(opts));
    return {
      name,
      namespace,
      running,
      cpuUsage: used.cpuPercent,
      memoryUsage: rounded(used.memoryMiB),
      diskUsage: rounded(used.diskBytes),
      guest: used.guest,
    };
  }
}

function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value);
}
