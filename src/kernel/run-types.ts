/** What running code gives: types only, shared by kernels, sandboxes, the server and clients. */

export const LANGUAGES = ["python", "node"] as const;
export type Language = (typeof LANGUAGES)[number];

/** One value in the forms it offers: what `display()` was given, or the value of an expression. */
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
  readonly jpeg?: string;
  readonly latex?: string;
  readonly json?: unknown;
  /** Forms that were left out because they are too large, each with its size in bytes. */
  readonly omitted?: Readonly<Record<string, number>>;
}

/** What ended the code early. Its text was on stderr, too. */
export interface RunError {
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

/** In the order in which they happened; `end` comes last, once. */
export type RunEvent =
  | { readonly type: "stdout" | "stderr"; readonly text: string }
  | { readonly type: "result"; readonly result: RichResult }
  | { readonly type: "error"; readonly error: RunError }
  | {
      readonly type: "end";
      readonly status: "success" | "error";
      readonly reason: RunEndReason;
      readonly durationMs: number;
      /** The interpreter had to be started anew: names, imports and files it had open are gone. */
      readonly stateLost: boolean;
    };

export interface RunCodeRequest {
  readonly language: Language;
  readonly code: string;
  /** 0 for none. */
  readonly timeoutMs: number;
  /** Default: the language's own context, which every sandbox has. */
  readonly contextId?: string;
}

/** One interpreter with its state. */
export interface CodeContext {
  readonly id: string;
  readonly language: Language;
  /** The one that calls without a context use. */
  readonly isDefault: boolean;
  /** `absent`: it starts with its first code. */
  readonly state: "absent" | "starting" | "idle" | "busy";
  readonly workdir: string;
  /** NAME=value, after the sandbox's own. */
  readonly env: readonly string[];
  /** ISO 8601. */
  readonly createdAt: string;
}
