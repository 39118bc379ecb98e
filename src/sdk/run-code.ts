/** Code of a sandbox: run to its end, or event by event. */
import { endNotes, valueEcho } from "../util/run-notes.js";
import type { RunRecordView } from "./client.js";
import { type CodeException, Execution, type RichResult } from "./execution.js";
import type { RunEvent } from "../kernel/run-types.js";
import { given, timeoutMs } from "./options.js";
import type { Language, Session } from "./session.js";

export interface RunStreamOpts {
  /**
   * Seconds the code may run; then it is interrupted, and the execution has the reason `timeout`. The wait for the run
   * before it does not count. Default: no limit.
   */
  readonly timeout?: number | undefined;
  /** Calls it off, which interrupts the code: MSB_ERR_ABORTED. */
  readonly signal?: AbortSignal | undefined;
  /** Where it runs: a context of `contexts.create`, or its id. Default: the language's own context. */
  readonly context?: string | { readonly id: string } | undefined;
}

export interface RunOpts extends RunStreamOpts {
  /** A piece of output as it comes, not a line. */
  readonly onStdout?: ((text: string) => void) | undefined;
  readonly onStderr?: ((text: string) => void) | undefined;
  /** A value, or what was displayed, as it comes. */
  readonly onResult?: ((result: RichResult) => void) | undefined;
  /** What ended the code early. */
  readonly onError?: ((exception: CodeException) => void) | undefined;
}

export type { RunEvent };

export interface CodeToRun {
  readonly language: Language;
  readonly code: string;
}

export async function* runEvents(
  { client, key }: Session,
  { language, code }: CodeToRun,
  { timeout, signal, context }: RunStreamOpts,
): AsyncGenerator<RunEvent, void> {
  const contextId = typeof context === "object" ? context.id : context;
  const body = given({ language, code, contextId, timeoutMs: timeoutMs("timeout", timeout) });
  const records: AsyncIterable<RunRecordView> = client.runCode(key, body, { signal });
  // What a later server may tell besides is not for this client.
  for await (const record of records) if (EVENT_TYPES.has(record.type)) yield record;
}

export async function runToEnd(
  session: Session,
  what: CodeToRun,
  { onStdout, onStderr, onResult, onError, ...opts }: RunOpts,
): Promise<Execution> {
  const stdout: string[] = [];
  const stderr: string[] = [];
  const results: RichResult[] = [];
  let exception: CodeException | null = null;
  let end: Extract<RunEvent, { type: "end" }> | undefined;
  for await (const event of runEvents(session, what, opts)) {
    if (event.type === "stdout") {
      stdout.push(event.text);
      onStdout?.(event.text);
    } else if (event.type === "stderr") {
      stderr.push(event.text);
      onStderr?.(event.text);
    } else if (event.type === "result") {
      results.push(event.result);
      const echo = valueEcho(event.result);
      if (echo !== undefined) stdout.push(`${echo}\n`);
      onResult?.(event.result);
    } else if (event.type === "error") {
      exception = event.error;
      onError?.(event.error);
    } else if (event.type === "end") end = event;
  }
  // The stream ends with it, or throws.
  const { status, reason, durationMs, stateLost } = end!;
  const notes = endNotes({ reason, stateLost }, opts.timeout ?? null);
  return new Execution({
    language: what.language,
    status,
    reason,
    durationMs,
    stateLost,
    stdout: stdout.join(""),
    stderr: withNotes(stderr.join(""), notes),
    results,
    exception,
  });
}

const EVENT_TYPES: ReadonlySet<string> = new Set(["stdout", "stderr", "result", "error", "end"]);

/** Each on a line of its own. */
function withNotes(stderr: string, notes: readonly string[]): string {
  const text = stderr === "" || stderr.endsWith("\n") ? stderr : `${stderr}\n`;
  return notes.length === 0 ? stderr : text + notes.join("\n");
}
