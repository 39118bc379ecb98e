/** Progress for logs: few lines, and nothing that only a terminal understands. */
import type { Progress } from "../../util/progress.js";
import type { OutputStream } from "../context.js";
import { size } from "../format.js";
import type { ProgressReporter } from "./reporter.js";
import { endOf, fractionOf, isFinal, labelOf, noteOf } from "./text.js";

const MIN_INTERVAL_MS = 10_000;
/** Parts of the whole. */
const STEPS = 10;
/** Build servers end what is silent for long. */
const MAX_SILENCE_MS = 60_000;

interface Task {
  state: Progress["state"];
  note: string | undefined;
  lineAtMs: number;
  lineAtBytes: number;
}

/** A line when a task starts, when it is tried again, when it ends, and in between at most every 10 s and 10 %. */
export class ProgressLines implements ProgressReporter {
  readonly #stream: OutputStream;
  readonly #now: () => number;
  readonly #tasks = new Map<string, Task>();
  #isStopped = false;

  constructor(stream: OutputStream, now: () => number) {
    this.#stream = stream;
    this.#now = now;
  }

  readonly report = (progress: Progress): void => {
    // Nothing has happened yet to a task that waits.
    if (this.#isStopped || progress.state === "waiting") return;
    const text = this.#news(progress, this.#tasks.get(progress.id));
    if (text === undefined) return;
    this.#tasks.set(progress.id, {
      state: progress.state,
      note: progress.note,
      lineAtMs: this.#now(),
      lineAtBytes: progress.doneBytes,
    });
    this.#stream.write(`${labelOf(progress)}: ${text}\n`);
  };

  [Symbol.dispose](): void {
    this.#isStopped = true;
  }

  #news(progress: Progress, task: Task | undefined): string | undefined {
    const note = noteOf(progress);
    if (isFinal(progress)) return task?.state === progress.state ? undefined : endOf(progress);
    if (progress.state === "retrying") {
      if (task?.state === "retrying" && task.note === progress.note) return undefined;
      return `trying again${note === undefined ? "" : `: ${note}`}`;
    }
    if (task === undefined || task.state === "done" || task.state === "exists") {
      const total = progress.totalBytes === null ? "" : `, ${size(progress.totalBytes)}`;
      return note ?? `started${total}`;
    }
    return this.#isDue(progress, task) ? amountOf(progress, note) : undefined;
  }

  #isDue(progress: Progress, task: Task): boolean {
    const sinceMs = this.#now() - task.lineAtMs;
    const stepBytes = (progress.totalBytes ?? 0) / STEPS;
    const hasStepped = progress.doneBytes - task.lineAtBytes >= stepBytes;
    return sinceMs >= (hasStepped ? MIN_INTERVAL_MS : MAX_SILENCE_MS);
  }
}

function amountOf(progress: Progress, note: string | undefined): string {
  const fraction = fractionOf(progress);
  // Not all work comes in bytes.
  if (fraction === null && progress.doneBytes === 0) return note ?? "still at it";
  if (fraction === null) return size(progress.doneBytes);
  const percent = Math.floor(fraction * 100);
  return `${percent} %, ${size(progress.doneBytes)} of ${size(progress.totalBytes)}`;
}
