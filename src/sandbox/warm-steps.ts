/** What is done to a guest that is made ready ahead, step by step, as progress. */
import type { OnProgress } from "../util/progress.js";

export type WarmStep = "boot" | "warm-up" | "save";

export class WarmSteps {
  #current: WarmStep | undefined;

  constructor(private readonly onProgress: OnProgress) {}

  /** The step before is done then. */
  begin(step: WarmStep): void {
    this.end();
    this.#current = step;
    this.#tell(step, "running", 0);
  }

  /** `bytes`: what the last step made. */
  end(bytes = 0): void {
    if (this.#current !== undefined) this.#tell(this.#current, "done", bytes);
    this.#current = undefined;
  }

  #tell(step: WarmStep, state: "running" | "done", doneBytes: number): void {
    this.onProgress({ id: step, label: step, state, doneBytes, totalBytes: null });
  }
}
