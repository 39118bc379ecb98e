/** Progress of one task, told often enough for people and not for every chunk. */
import type { OnProgress, Progress } from "../../util/progress.js";

const MIN_INTERVAL_MS = 100;

export class ProgressMeter {
  #doneBytes = 0;
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly task: Pick<Progress, "id" | "label" | "totalBytes">,
    private readonly onProgress: OnProgress | undefined,
    /** Milliseconds, monotonic. */
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Every change of state is told. */
  set(state: Progress["state"], opts: { doneBytes?: number; note?: string } = {}): void {
    this.#doneBytes = opts.doneBytes ?? this.#doneBytes;
    this.#toldAt = this.now();
    this.onProgress?.({
      ...this.task,
      state,
      doneBytes: this.#doneBytes,
      ...(opts.note === undefined ? {} : { note: opts.note }),
    });
  }

  /** Told at most ten times a second; `set` tells the last value. */
  advance(doneBytes: number): void {
    this.#doneBytes = doneBytes;
    if (this.now() - this.#toldAt >= MIN_INTERVAL_MS) this.set("running");
  }
}
