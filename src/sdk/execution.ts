/** What `run` gives: what code wrote, what it gave, and how it ended. */
import type { Language } from "./session.js";

/** A value, or what `display()` was given, in all the forms it offers. */
export interface RichResult {
  /** The value of a top-level expression, and not of `display()`. */
  readonly isValue: boolean;
  /** As the interactive interpreter would echo it. */
  readonly text?: string;
  readonly html?: string;
  readonly markdown?: string;
  readonly svg?: string;
  /** Base64. */
  readonly png?: string;
  /** Base64. */
  readonly jpeg?: string;
  readonly latex?: string;
  readonly json?: unknown;
  /** Forms that were left out because they are too large, each with its size in bytes. */
  readonly omitted?: Readonly<Record<string, number>>;
}

/** What ended code early. */
export interface CodeException {
  /** Such as `ZeroDivisionError`. */
  readonly name: string;
  readonly value: string;
  /** Lines, with frames of the user's code only. */
  readonly traceback: readonly string[];
}

/**
 * `completed`: it came to its end. `exception`: it threw, or exited with a status other than 0. `timeout`: it ran
 * longer than its time. `interrupted`: by request. `exited`, `died`: its interpreter ended, by itself or by something
 * else, such as a lack of memory.
 */
export type RunEndReason =
  "completed" | "exception" | "timeout" | "interrupted" | "exited" | "died";

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
