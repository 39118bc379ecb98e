/** How much may run: what sandboxes reserve before they boot, and how many boot at once. */
import { MsbError } from "../errors.js";
import { Semaphore } from "../util/semaphore.js";
import { RETRY_AFTER_SECONDS } from "./sandbox-errors.js";
import type { Budget } from "./service.js";

const LIMITS = ["sandboxes", "memoryMiB", "vcpus"] as const;

export interface AdmissionOpts {
  readonly budget: Budget;
  readonly concurrentBoots: number;
}

export class Admission {
  readonly budget: Budget;
  #used: Budget = { sandboxes: 0, memoryMiB: 0, vcpus: 0 };
  readonly #boots: Semaphore;

  constructor(opts: AdmissionOpts) {
    this.budget = opts.budget;
    this.#boots = new Semaphore(opts.concurrentBoots);
  }

  get used(): Budget {
    return this.#used;
  }

  /**
   * Reserves until the reservation is disposed of. Throws MSB_ERR_TOO_MANY_SANDBOXES that names the limit, and what
   * `checkFits` throws.
   */
  reserve(amount: Omit<Budget, "sandboxes">): Disposable {
    this.checkFits(amount);
    const wanted = { sandboxes: 1, ...amount };
    for (const limit of LIMITS) {
      const wouldUse = this.#used[limit] + wanted[limit];
      if (wouldUse > this.budget[limit])
        throw tooMany(limit, wanted[limit], this.#used, this.budget);
    }
    return this.take(amount);
  }

  /** Throws MSB_ERR_INVALID_ARGUMENT for what would not fit were nothing else there. */
  checkFits(amount: Omit<Budget, "sandboxes">): void {
    const wanted = { sandboxes: 1, ...amount };
    for (const limit of LIMITS) {
      if (wanted[limit] > this.budget[limit]) throw tooLarge(limit, wanted[limit], this.budget);
    }
  }

  /** As `reserve`, for what runs already and cannot be refused. */
  take(amount: Omit<Budget, "sandboxes">): Disposable {
    const wanted = { sandboxes: 1, ...amount };
    this.#add(wanted, 1);
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (isHeld) this.#add(wanted, -1);
        isHeld = false;
      },
    };
  }

  /** Whether so much more would fit. */
  hasRoom(amount: Budget): boolean {
    return LIMITS.every((limit) => this.#used[limit] + amount[limit] <= this.budget[limit]);
  }

  /** Waits until another may boot; what it gives ends the turn. */
  bootTurn(signal: AbortSignal): Promise<Disposable> {
    return this.#boots.acquire("Waiting for other boots", signal);
  }

  #add(amount: Budget, sign: 1 | -1): void {
    this.#used = {
      sandboxes: this.#used.sandboxes + sign * amount.sandboxes,
      memoryMiB: this.#used.memoryMiB + sign * amount.memoryMiB,
      vcpus: this.#used.vcpus + sign * amount.vcpus,
    };
  }
}

/** As the server's settings have them (see config.ts). */
const OPTIONS = {
  sandboxes: "maxSandboxes",
  memoryMiB: "memoryBudgetMiB",
  vcpus: "vcpuBudget",
} as const;

function tooLarge(limit: keyof Budget, wanted: number, budget: Budget): MsbError {
  return new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    `The sandbox needs ${wanted} ${limit}, and all sandboxes together may have ${budget[limit]}. Ask for less, or ` +
      `raise the server's ${OPTIONS[limit]}.`,
    { details: { limit, option: OPTIONS[limit], budget: budget[limit], wanted } },
  );
}

function tooMany(limit: keyof Budget, wanted: number, used: Budget, budget: Budget): MsbError {
  return new MsbError(
    "MSB_ERR_TOO_MANY_SANDBOXES",
    `There is no room for this sandbox: ${used[limit]} of ${budget[limit]} ${limit} are in use, and it needs ` +
      `${wanted} more. Stop a sandbox, or raise the server's ${OPTIONS[limit]}.`,
    {
      details: {
        limit,
        option: OPTIONS[limit],
        budget: budget[limit],
        used: used[limit],
        wanted,
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      },
    },
  );
}
