/** Commands that take several names do what they can. */
import { throwIfAborted } from "../util/async.js";
import type { CliContext } from "./context.js";

/** What went wrong with each of several names. */
export class SeveralErrors extends Error {
  readonly errors: readonly unknown[];

  constructor(errors: readonly unknown[]) {
    super(`${errors.length} errors`);
    this.errors = errors;
  }
}

export interface Outcomes<T> {
  readonly results: readonly T[];
  readonly errors: readonly unknown[];
}

/** One after the other, each name once; an error ends its own name only, an abort ends all. */
export async function forEachName<T>(
  ctx: CliContext,
  names: readonly string[],
  work: (name: string) => Promise<T>,
): Promise<Outcomes<T>> {
  const results: T[] = [];
  const errors: unknown[] = [];
  for (const name of new Set(names)) {
    try {
      throwIfAborted(ctx.signal, name);
      results.push(await work(name));
    } catch (error) {
      errors.push(error);
      if (ctx.signal.aborted) break;
    }
  }
  return { results, errors };
}

/** After the results were printed. */
export function throwErrors({ errors }: Outcomes<unknown>): void {
  if (errors.length > 0) throw new SeveralErrors(errors);
}
