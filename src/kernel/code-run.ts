/** One run of code in a kernel: its events, its limits, and who asked for its end. */
import { MsbError } from "../errors.js";
import { deferred } from "../util/async.js";
import { EventQueue } from "./event-queue.js";
import type { KernelDeath } from "./kernel-death.js";
import type { KernelEndReason } from "./kernel-messages.js";
import type { RichResult, RunError, RunEvent } from "./run-types.js";

/** Why a run has to end before it does so by itself. */
export type StopCause = "timeout" | "abandoned" | "overflow" | "restart" | "released";

/** How the interpreter ended a run. */
export type RunOutcome =
  | { readonly kind: "ended"; readonly reason: KernelEndReason }
  | { readonly kind: "died"; readonly death: KernelDeath };

/** What a message counts that says nothing, so that a guest cannot send them without end. */
const MESSAGE_BYTES = 256;
const LINE_BYTES = 16;

export class CodeRun {
  readonly #events = new EventQueue<RunEvent>();
  readonly #outcome = deferred<RunOutcome>();
  readonly #stop = deferred<StopCause>();
  readonly #maxOutputBytes: number;
  #outputBytes = 0;
  #beganAt = performance.now();
  #hasEvents = false;
  #hasError = false;
  #isSilent = false;

  constructor(
    readonly id: string,
    opts: { maxOutputBytes: number },
  ) {
    this.#maxOutputBytes = opts.maxOutputBytes;
    // Nobody may be waiting yet when the guest is lost.
    this.#outcome.promise.catch(() => {});
  }

  /** What the caller reads. */
  get events(): AsyncIterable<RunEvent> {
    return this.#events;
  }

  /** Resolves when the interpreter is done with it; rejects when the guest cannot be reached any more. */
  get outcome(): Promise<RunOutcome> {
    return this.#outcome.promise;
  }

  /** Resolves when something but the code wants it to end. */
  get stopRequested(): Promise<StopCause> {
    return this.#stop.promise;
  }

  /** The interpreter gets the code now; what was said before is not of it. */
  begin(): void {
    this.#beganAt = performance.now();
    this.#hasEvents = false;
  }

  get ageMs(): number {
    return performance.now() - this.#beganAt;
  }

  /** Something came from the interpreter since it began. */
  get hasEvents(): boolean {
    return this.#hasEvents;
  }

  /** An error was reported among the events. */
  get hasError(): boolean {
    return this.#hasError;
  }

  /** Waits for the caller to take what it has been given. */
  room(): Promise<void> {
    return this.#events.room();
  }

  output(type: "stdout" | "stderr", text: string): void {
    if (text !== "") this.#push({ type, text }, Buffer.byteLength(text));
  }

  result(result: RichResult, sizeBytes: number): void {
    this.#push({ type: "result", result }, MESSAGE_BYTES + sizeBytes);
  }

  error(error: RunError): void {
    const isFirst = !this.#hasError;
    this.#hasError = true;
    const lines = error.traceback.reduce((sum, line) => sum + LINE_BYTES + line.length, 0);
    const sizeBytes = MESSAGE_BYTES + error.value.length + lines;
    // The one that ended the code is told even when output is dropped.
    this.#push({ type: "error", error }, sizeBytes, { isKept: isFirst });
  }

  settle(outcome: RunOutcome): void {
    this.#outcome.resolve(outcome);
  }

  /** The guest is lost. */
  fail(error: unknown): void {
    this.#outcome.reject(error);
  }

  /** From now on the interpreter is read whether the caller reads or not. */
  hurry(): void {
    this.#events.release();
  }

  /** The first to ask counts. From then on nothing waits for the caller any more. */
  requestStop(cause: StopCause): void {
    if (cause === "abandoned" || cause === "overflow") this.#isSilent = true;
    this.#stop.resolve(cause);
    this.hurry();
  }

  /** The caller gets `error` now, in place of all else. */
  throwNow(error: unknown): void {
    this.#isSilent = true;
    this.#events.fail(error, { now: true });
  }

  /** The caller gets `error` after what it was given. */
  throwLast(error: unknown): void {
    this.#events.fail(error);
  }

  finish(end: Extract<RunEvent, { type: "end" }>): void {
    this.#events.push(end, 0, { isKept: true });
    this.#events.end();
  }

  #push(event: RunEvent, sizeBytes: number, opts: { isKept?: boolean } = {}): void {
    this.#hasEvents = true;
    if (this.#count(sizeBytes)) this.#events.push(event, sizeBytes, opts);
  }

  /** False when the caller is not to get it. */
  #count(sizeBytes: number): boolean {
    if (this.#isSilent) return false;
    this.#outputBytes += sizeBytes;
    if (this.#outputBytes <= this.#maxOutputBytes) return true;
    this.requestStop("overflow");
    return false;
  }
}

export function outputLimit(maxOutputBytes: number): MsbError {
  return new MsbError(
    "MSB_ERR_OUTPUT_LIMIT",
    `The code wrote more than ${maxOutputBytes} bytes and was interrupted. Write to a file in the sandbox instead.`,
    { details: { maxBytes: maxOutputBytes } },
  );
}
