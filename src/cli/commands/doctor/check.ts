/** One thing that doctor looks at, and how a look that fails or hangs is told. */
import { messageOf } from "../../../errors.js";
import type { Env } from "../../../config.js";
import type { MsbPaths } from "../../../paths.js";
import { abortable } from "../../../util/async.js";

/** `problem`: microVMs cannot run here because of it. `warning`: something is missing that they can do without. */
export type CheckStatus = "ok" | "warning" | "problem";

export interface Check {
  /** For programs; does not change. */
  readonly id: string;
  readonly title: string;
  readonly status: CheckStatus;
  readonly message: string;
  /** What to do; absent when there is nothing. */
  readonly advice?: string;
}

export interface DoctorScope {
  readonly env: Env;
  readonly paths: MsbPaths;
  readonly signal: AbortSignal;
}

export type Verdict = Omit<Check, "id" | "title">;

const LIMIT_MS = 15_000;

export const ok = (message: string): Verdict => ({ status: "ok", message });
export const warning = (message: string, advice?: string): Verdict => ({
  status: "warning",
  message,
  ...(advice === undefined ? {} : { advice }),
});
export const problem = (message: string, advice?: string): Verdict => ({
  ...warning(message, advice),
  status: "problem",
});

/** Never throws unless the scope's signal aborts; `onFailure` says how grave an error of `look` is. */
export async function check(
  scope: DoctorScope,
  name: { readonly id: string; readonly title: string },
  look: () => Verdict | Promise<Verdict>,
  onFailure: (message: string) => Verdict = problem,
): Promise<Check> {
  const limit = AbortSignal.any([AbortSignal.timeout(LIMIT_MS), scope.signal]);
  try {
    return { ...name, ...(await abortable(Promise.resolve().then(look), limit, name.title)) };
  } catch (error) {
    if (scope.signal.aborted) throw error;
    const message = limit.aborted ? `no answer within ${LIMIT_MS / 1000} s` : messageOf(error);
    return { ...name, ...onFailure(message) };
  }
}
