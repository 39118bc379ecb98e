/** Numbers for Prometheus. */
import { collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { SANDBOX_STATES, type SandboxService, type StartStage } from "../sandbox/service.js";

const REQUEST_SECONDS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300];
const STAGE_SECONDS = [0.005, 0.02, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 180];

/** Made once a server, by whoever puts it together, so that the sandboxes can tell it of their starts. */
export class ServerMetrics {
  readonly registry = new Registry();
  readonly #stages: Histogram<"stage">;
  readonly #requests: Histogram<"method" | "route" | "status">;
  readonly #sandboxes: Gauge<"state">;
  readonly #budget: Gauge<"resource">;
  readonly #used: Gauge<"resource">;

  constructor() {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.#stages = new Histogram({
      name: "msb_start_stage_seconds",
      help: "How long each stage of a sandbox's start took",
      labelNames: ["stage"],
      buckets: STAGE_SECONDS,
      registers,
    });
    this.#requests = new Histogram({
      name: "msb_http_request_duration_seconds",
      help: "How long requests took, to the end of their answer",
      labelNames: ["method", "route", "status"],
      buckets: REQUEST_SECONDS,
      registers,
    });
    this.#sandboxes = new Gauge({
      name: "msb_sandboxes",
      help: "Sandboxes by state",
      labelNames: ["state"],
      registers,
    });
    this.#budget = new Gauge({
      name: "msb_budget",
      help: "What sandboxes may use together: sandboxes, memory_mib, vcpus",
      labelNames: ["resource"],
      registers,
    });
    this.#used = new Gauge({
      name: "msb_budget_used",
      help: "What sandboxes use of the budget: sandboxes, memory_mib, vcpus",
      labelNames: ["resource"],
      registers,
    });
  }

  /** One stage of a start is over. */
  onStartStage({ stage, durationMs }: StartStage): void {
    this.#stages.observe({ stage }, durationMs / 1000);
  }

  /** `route` is the pattern, not the address, which would be a series of its own for each sandbox. */
  onRequest(request: { method: string; route: string; status: number; durationMs: number }): void {
    const { method, route, status, durationMs } = request;
    this.#requests.observe({ method, route, status: String(status) }, durationMs / 1000);
  }

  /** In Prometheus' text format. */
  async text(sandboxes: Pick<SandboxService, "status">): Promise<string> {
    const { counts, budget, used } = sandboxes.status();
    for (const state of SANDBOX_STATES) this.#sandboxes.set({ state }, counts[state]);
    for (const [gauge, values] of [
      [this.#budget, budget],
      [this.#used, used],
    ] as const) {
      gauge.set({ resource: "sandboxes" }, values.sandboxes);
      gauge.set({ resource: "memory_mib" }, values.memoryMiB);
      gauge.set({ resource: "vcpus" }, values.vcpus);
    }
    return this.registry.metrics();
  }
}
