/** What `run` gives: what code wrote, what it gave, and how it ended. */
import type { RichResult, RunEndReason, RunError } from "../kernel/run-types.js";
import type { Language } from "./session.js";

export type { RichResult, RunEndReason };
export type CodeException = RunError;

export interface ExecutionFacts {
  readonly language: Language;
  readonly status: "success" | "error";
  readonly reason: RunEndReason;
  readonly durationMs: number;
  readonly stateLost: boolean;
  readonly stdout: string;
  readonly stderr: string;
  readonly results: readonly RichResult[];
  readonly exception: CodeException | null;
}

/** The result of `run`. Code that fails is a result, too: see `hasError`. */
export class Execution {
  /** `error` when the code did not come to its end: it threw, ran out of time, was interrupted or died. */
  readonly status: "success" | "error";
  readonly language: Language;
  readonly reason: RunEndReason;
  /** Milliseconds from the code's start to its end. */
  readonly durationMs: number;
  /** The interpreter had to be started anew: names, imports and open files are gone. The next run works. */
  readonly stateLost: boolean;
  /** Values of top-level expressions, what was displayed, and figures, in order. */
  readonly results: readonly RichResult[];
  /** What ended the code early; null when nothing did. Its traceback is in `error()`, too. */
  readonly exception: CodeException | null;
  readonly #stdout: string;
  readonly #stderr: string;

  constructor({ stdout, stderr, ...facts }: ExecutionFacts) {
    this.status = facts.status;
    this.language = facts.language;
    this.reason = facts.reason;
    this.durationMs = facts.durationMs;
    this.stateLost = facts.stateLost;
    this.results = facts.results;
    this.exception = facts.exception;
    this.#stdout = plainText(stdout);
    this.#stderr = plainText(stderr);
  }

  /** The text of the last value; null when there was none. */
  get text(): string | null {
    return this.results.findLast(({ isValue }) => isValue)?.text ?? null;
  }

  /** Standard output and the echoes of values, without white space at its end. */
  async output(): Promise<string> {
    return this.#stdout;
  }

  /** Standard error, and how the run ended if not by itself, without white space at its end. */
  async error(): Promise<string> {
    return this.#stderr;
  }

  /** True when `status` is `error`. Output on standard error, such as a warning, is none. */
  hasError(): boolean {
    return this.status === "error";
  }
}

/** As a terminal shows it. */
export function plainText(text: string): string {
  return text.replaceAll("\r\n", "\n").trimEnd();
}
