/** What is done to a guest that is made ready ahead, step by step, as progress. */
import type { OnProgress } from "../util/progress.js";

export type WarmStep = "hypervisor" | "boot" | "warm-up" | "save";

const NOTES: Readonly<Record<WarmStep, string>> = {
  hypervisor: "a guest tells which one works here",
  boot: "a guest boots",
  "warm-up": "it is made ready",
  save: "its memory is kept",
};

export class WarmSteps {
  #current: WarmStep | undefined;

  constructor(private readonly onProgress: OnProgress) {}

  /** The step before is done then. */
  begin(step: WarmStep): void {
    this.end();
    this.#current = step;
    const note = NOTES[step];
    this.onProgress({
      id: step,
      label: step,
      state: "running",
      doneBytes: 0,
      totalBytes: null,
      note,
    });
  }

  /** `bytes`: what the last step made. */
  end(bytes = 0): void {
    const step = this.#current;
    this.#current = undefined;
    if (step === undefined) return;
    this.onProgress({ id: step, label: step, state: "done", doneBytes: bytes, totalBytes: null });
  }
}
