/** What a running sandbox uses: percentages are between two looks, so the one before is kept. */
import type { GuestMetrics } from "../agent/messages.js";
import { abortable } from "../util/async.js";
import type { Clock } from "../util/clock.js";
import type { ProcessUsage } from "./host-metrics.js";
import type { SandboxMetrics } from "./service.js";

/** Two looks that are closer tell nothing: the host counts in hundredths of a second. */
const MIN_INTERVAL_MS = 200;
const MIB = 1024 ** 2;

export type Usage = Pick<SandboxMetrics, "cpuPercent" | "memoryMiB" | "diskBytes" | "guest">;

interface Look {
  readonly atMs: number;
  /** null where the host does not tell. */
  readonly host: ProcessUsage | null;
  /** null while the guest does not answer. */
  readonly guest: GuestMetrics | null;
}

export interface MetricsSamplerOpts {
  readonly clock: Clock;
  readonly readHost: () => Promise<ProcessUsage | null>;
  readonly readGuest: () => Promise<GuestMetrics>;
}

export class MetricsSampler {
  #last: Look | undefined;
  #answer: { readonly atMs: number; readonly usage: Usage } | undefined;
  #looking: Promise<Usage> | undefined;

  constructor(private readonly opts: MetricsSamplerOpts) {}

  /** Calls at the same time share one look. */
  async sample(signal?: AbortSignal): Promise<Usage> {
    const answer = this.#answer;
    // Either way: the host's clock may have been set back.
    if (answer !== undefined && Math.abs(this.opts.clock.now() - answer.atMs) < MIN_INTERVAL_MS) {
      return answer.usage;
    }
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
    return abortable(this.#looking, signal, "Reading the metrics");
  }

  async #look(): Promise<Usage> {
    const [host, guest] = await Promise.all([
      this.opts.readHost(),
      this.opts.readGuest().catch(() => null),
    ]);
    const look: Look = { atMs: this.opts.clock.now(), host, guest };
    const usage = usageOf(this.#last, look);
    this.#last = look;
    this.#answer = { atMs: look.atMs, usage };
    return usage;
  }
}

/** Of the time between two looks; without an earlier one, of all the time since the VM began. */
export function usageOf(before: Look | undefined, now: Look): Usage {
  const guest = now.guest === null ? null : guestUsage(before?.guest ?? null, now.guest);
  const residentBytes = now.host?.residentBytes ?? now.guest?.memory.usedBytes;
  return {
    cpuPercent: hostCpuPercent(before, now) ?? guest?.cpuPercent ?? null,
    memoryMiB: residentBytes === undefined ? null : Math.floor(residentBytes / MIB),
    diskBytes: guest?.diskUsedBytes ?? null,
    guest,
  };
}

function guestUsage(before: GuestMetrics | null, now: GuestMetrics): NonNullable<Usage["guest"]> {
  return {
    uptimeMs: now.uptimeMs,
    cpuPercent: guestCpuPercent(before, now),
    memoryUsedMiB: Math.floor(now.memory.usedBytes / MIB),
    memoryTotalMiB: Math.floor(now.memory.totalBytes / MIB),
    diskUsedBytes: now.disk.usedBytes,
    diskTotalBytes: now.disk.totalBytes,
    processes: now.processes,
    load1: now.load1,
  };
}

/** null where the host does not tell. Nothing that the guest says counts here. */
function hostCpuPercent(before: Look | undefined, now: Look): number | null {
  if (now.host === null) return null;
  // By the age of the process, and not by the host's clock, which may be set.
  const { cpuMs, ageMs } = before?.host ?? { cpuMs: 0, ageMs: 0 };
  return percent(now.host.cpuMs - cpuMs, now.host.ageMs - ageMs);
}

/** Of one CPU, as on the host. The guest may count backwards or say anything. */
function guestCpuPercent(before: GuestMetrics | null, now: GuestMetrics): number {
  const busyUsec = now.cpu.busyUsec - (before?.cpu.busyUsec ?? 0);
  const wallMs = now.uptimeMs - (before?.uptimeMs ?? 0);
  return Math.min(percent(busyUsec / 1000, wallMs), 100 * Math.max(1, now.cpu.count));
}

function percent(partMs: number, wholeMs: number): number {
  return wholeMs > 0 ? Math.round(Math.max(0, (partMs / wholeMs) * 100) * 10) / 10 : 0;
}
