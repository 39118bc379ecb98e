/** What a SandboxManager is made of, with every default filled in. */
import { availableParallelism, totalmem } from "node:os";
import { createUpperDisk } from "../disk/upper-disk.js";
import { MsbError } from "../errors.js";
import type { OpenKernels } from "../kernel/kernels.js";
import type { Images } from "../oci/images.js";
import type { MsbPaths } from "../paths.js";
import { type Clock, systemClock } from "../util/clock.js";
import { DEFAULT_BOOT_TIMEOUT_MS } from "./guest.js";
import type { GuestSource } from "./guest-source.js";
import {
  type HostMemory,
  readHostMemory,
  type ReadProcessUsage,
  readProcessUsage,
} from "./host-metrics.js";
import type { OnNotice } from "./notice.js";
import type { Prewarm } from "./prewarm.js";
import type { Budget } from "./service.js";
import type { SpecLimits } from "./spec.js";

export type MakeUpperDisk = (
  path: string,
  opts: { readonly sizeBytes: number; readonly signal: AbortSignal },
) => Promise<void>;

export interface SandboxManagerOpts {
  readonly paths: MsbPaths;
  readonly guests: GuestSource;
  readonly openKernels: OpenKernels;
  readonly images: Pick<Images, "ensure" | "hold" | "keep">;
  /** Default: 64 sandboxes, 90 % of the host's memory, 16 vCPUs for each CPU. */
  readonly budget?: Partial<Budget>;
  /** Default: as many as there are CPUs, at least 2. */
  readonly concurrentBoots?: number;
  /** Of a start, from its turn to boot until it is ready, default 60 s. */
  readonly bootTimeoutMs?: number;
  /** For sandboxes that do not say; default 0, never. */
  readonly limits?: SpecLimits;
  /** Of one command or run, all its output, default 64 MiB. */
  readonly maxOutputBytes?: number;
  /** Default `background`. */
  readonly prewarm?: Prewarm;
  /** Guests that are kept for quick starts; default 0. */
  readonly maxTemplates?: number;
  /** Guests that run ahead where none can be kept, for each kind of sandbox; default 0. */
  readonly warmGuests?: number;
  readonly onNotice?: OnNotice;
  readonly makeUpperDisk?: MakeUpperDisk;
  readonly readProcessUsage?: ReadProcessUsage;
  readonly readHostMemory?: () => HostMemory;
  readonly clock?: Clock;
}

export type SandboxDeps = Required<Omit<SandboxManagerOpts, "budget">> & {
  readonly budget: Budget;
};

/** Throws MSB_ERR_INVALID_ARGUMENT. */
export function sandboxDeps(opts: SandboxManagerOpts): SandboxDeps {
  const { paths } = opts;
  const cpus = availableParallelism();
  const deps: SandboxDeps = {
    concurrentBoots: Math.max(2, cpus),
    bootTimeoutMs: DEFAULT_BOOT_TIMEOUT_MS,
    limits: { idleTimeoutMs: 0, maxLifetimeMs: 0 },
    maxOutputBytes: 64 * 1024 ** 2,
    prewarm: "background",
    maxTemplates: 0,
    warmGuests: 0,
    onNotice: () => {},
    makeUpperDisk: (path, { sizeBytes, signal }) =>
      createUpperDisk(path, { sizeBytes, signal, paths }),
    readProcessUsage,
    readHostMemory,
    clock: systemClock,
    ...opts,
    budget: {
      sandboxes: 64,
      memoryMiB: Math.floor((totalmem() / 1024 ** 2) * 0.9),
      vcpus: 16 * cpus,
      ...opts.budget,
    },
  };
  checkWhole({ ...deps.budget, concurrentBoots: deps.concurrentBoots });
  checkWhole({ bootTimeoutMs: deps.bootTimeoutMs, maxOutputBytes: deps.maxOutputBytes });
  return deps;
}

function checkWhole(numbers: Readonly<Record<string, number>>): void {
  for (const [option, value] of Object.entries(numbers)) {
    if (Number.isSafeInteger(value) && value >= 1) continue;
    throw new MsbError(
      "MSB_ERR_INVALID_ARGUMENT",
      `${option} cannot be ${value}: use a whole number of at least 1.`,
      { details: { option, value } },
    );
  }
}
