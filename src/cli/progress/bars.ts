/**
 * Progress for a terminal: what has ended stays as a line, what is under way is a bar below. The terminal's
 * state (cursor, wrapping) is never changed, so there is nothing to restore when the process is killed.
 */
import { MultiBar, type SingleBar } from "cli-progress";
import type { Progress } from "../../util/progress.js";
import type { OutputStream } from "../context.js";
import { size } from "../format.js";
import type { ProgressReporter } from "./reporter.js";
import { endOf, fractionOf, isFinal, labelOf, noteOf } from "./text.js";

const MIN_BAR_WIDTH = 8;
const MAX_BAR_WIDTH = 24;
/** `layer` and twelve digits. Longer labels than the maximum stand out of their column. */
const MIN_LABEL_WIDTH = 18;
const MAX_LABEL_WIDTH = 28;
/** The space that numbers and gaps take beside label and bar, at their longest. */
const NUMBERS_WIDTH = 44;
const DEFAULT_ROWS = 24;
const DEFAULT_COLUMNS = 80;
/** A rate over a shorter time says little. */
const MIN_RATE_MS = 1_000;
const ERASE_LINE_END = "\u001b[K";

interface Task {
  readonly bar: SingleBar;
  readonly startedAtMs: number;
  /** What an earlier attempt had brought does not count for the rate. */
  readonly startBytes: number;
}

interface BarPayload {
  line: string;
}

export class ProgressBars implements ProgressReporter {
  readonly #stream: OutputStream;
  readonly #now: () => number;
  readonly #bars: MultiBar;
  readonly #tasks = new Map<string, Task>();
  readonly #ended = new Set<string>();
  #labelWidth = MIN_LABEL_WIDTH;
  #isStopped = false;

  constructor(stream: OutputStream, now: () => number) {
    this.#stream = stream;
    this.#now = now;
    this.#bars = new MultiBar({
      stream,
      // Lines above the bars move them, so each redraw must be whole.
      forceRedraw: true,
      clearOnComplete: true,
      gracefulExit: false,
      hideCursor: false,
      linewrap: true,
      format: (_options, _params, payload: BarPayload) => payload.line,
    });
  }

  readonly report = (progress: Progress): void => {
    if (this.#isStopped || progress.state === "waiting") return;
    const width = Math.min(labelOf(progress).length, MAX_LABEL_WIDTH);
    this.#labelWidth = Math.max(this.#labelWidth, width);
    if (isFinal(progress)) this.#end(progress);
    else this.#show(progress);
  };

  /** Bars vanish, lines stay. */
  [Symbol.dispose](): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    if (!this.#bars.isActive) return;
    this.#bars.update();
    this.#bars.stop();
  }

  #show(progress: Progress): void {
    this.#ended.delete(progress.id);
    let task = this.#tasks.get(progress.id);
    if (task === undefined) {
      // More bars than rows cannot be drawn; who finds no room shows up when another has ended.
      if (this.#tasks.size >= (this.#stream.rows ?? DEFAULT_ROWS) - 2) return;
      const line = this.#barLine(progress, undefined);
      task = {
        bar: this.#bars.create(1, 0, { line } satisfies BarPayload),
        startedAtMs: this.#now(),
        startBytes: progress.doneBytes,
      };
      this.#tasks.set(progress.id, task);
    }
    task.bar.update({ line: this.#barLine(progress, task) } satisfies BarPayload);
  }

  #end(progress: Progress): void {
    if (this.#ended.has(progress.id)) return;
    this.#ended.add(progress.id);
    const line = this.#fit(`${labelOf(progress).padEnd(this.#labelWidth)}  ${endOf(progress)}`);
    if (!this.#bars.isActive) {
      this.#stream.write(`${line}\n`);
      return;
    }
    this.#bars.log(`${line}${ERASE_LINE_END}\n`);
    const task = this.#tasks.get(progress.id);
    if (task === undefined) return;
    this.#tasks.delete(progress.id);
    this.#bars.remove(task.bar);
  }

  #barLine(progress: Progress, task: Task | undefined): string {
    const label = labelOf(progress).padEnd(this.#labelWidth);
    const fraction = fractionOf(progress);
    const note = noteOf(progress);
    if (progress.state === "retrying") {
      const parts = [...(fraction === null ? [] : [percentOf(fraction)]), "trying again"];
      return this.#fit(`${label}  ${parts.join("  ")}${note === undefined ? "" : `: ${note}`}`);
    }
    const parts =
      fraction === null
        ? plainAmount(progress)
        : [`[${barOf(fraction, this.#barWidth)}] ${percentOf(fraction)}`, amountOf(progress)];
    const rate = task === undefined ? undefined : this.#rate(progress, task);
    if (rate !== undefined) parts.push(rate);
    if (note !== undefined) parts.push(parts.length === 0 ? note : `(${note})`);
    return this.#fit(`${label}  ${parts.join("  ")}`);
  }

  #rate(progress: Progress, task: Task): string | undefined {
    const sinceMs = this.#now() - task.startedAtMs;
    const bytes = progress.doneBytes - task.startBytes;
    if (sinceMs < MIN_RATE_MS || bytes <= 0) return undefined;
    return `${size((bytes * 1000) / sinceMs)}/s`;
  }

  get #barWidth(): number {
    const left = this.#columns - this.#labelWidth - NUMBERS_WIDTH;
    return Math.min(MAX_BAR_WIDTH, Math.max(MIN_BAR_WIDTH, left));
  }

  /** The last column of the terminal stays free, as some wrap there. */
  get #columns(): number {
    return (this.#stream.columns || DEFAULT_COLUMNS) - 1;
  }

  #fit(line: string): string {
    return oneRow(line, this.#columns);
  }
}

/** Not all work comes in bytes. */
function plainAmount({ doneBytes }: Progress): string[] {
  return doneBytes > 0 ? [size(doneBytes)] : [];
}

function amountOf({ doneBytes, totalBytes }: Progress): string {
  return `${size(doneBytes)} of ${size(totalBytes)}`;
}

function barOf(fraction: number, width: number): string {
  const filled = Math.floor(fraction * width);
  return `${"=".repeat(filled)}${filled < width ? ">" : ""}`.padEnd(width);
}

function percentOf(fraction: number): string {
  return `${Math.floor(fraction * 100)} %`.padStart(5);
}

/** Labels are ours and narrow; a wide character in a note at worst costs the end of the line. */
function oneRow(line: string, width: number): string {
  return line.length <= width ? line : `${line.slice(0, Math.max(0, width - 1))}…`;
}
