/** How long each stage of a start took, and which one it is in. */
import type { StartStage } from "./service.js";

export class StartStages {
  readonly #durations = new Map<string, number>();
  #current = "admission";

  get current(): string {
    return this.#current;
  }

  /** In the order in which they began. */
  get all(): readonly StartStage[] {
    return [...this.#durations].map(([stage, durationMs]) => ({
      stage,
      durationMs: Math.round(durationMs * 1000) / 1000,
    }));
  }

  async run<T>(stage: string, work: () => Promise<T>): Promise<T> {
    const beganMs = performance.now();
    this.#current = stage;
    const result = await work();
    this.add(stage, performance.now() - beganMs);
    return result;
  }

  /** What was measured as one stage, and a part of it is another's. */
  move(from: string, to: string, durationMs: number): void {
    this.add(from, -durationMs);
    this.add(to, durationMs);
  }

  /** A stage in several parts counts as one. */
  add(stage: string, durationMs: number): void {
    this.#durations.set(stage, (this.#durations.get(stage) ?? 0) + durationMs);
  }
}
