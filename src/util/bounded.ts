/** Much to do, but not all of it at once. */
import { throwIfAborted } from "./async.js";
import { LinkedAbort } from "./linked-abort.js";

/**
 * Does `work` for each item, for at most `limit` at a time. The first failure aborts the signal that the others
 * have, and is thrown when all have ended: nothing is under way any more then.
 */
export async function forEachBounded<T>(
  items: Iterable<T>,
  opts: { limit: number; signal?: AbortSignal | undefined; what: string },
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  using stop = new LinkedAbort(opts.signal);
  let failure: { readonly error: unknown } | undefined;
  const rest = items[Symbol.iterator]();
  const runner = async (): Promise<void> => {
    for (let next = rest.next(); !next.done && failure === undefined; next = rest.next()) {
      try {
        throwIfAborted(stop.signal, opts.what);
        await work(next.value, stop.signal);
      } catch (error) {
        failure ??= { error };
        stop.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: opts.limit }, runner));
  if (failure !== undefined) throw failure.error;
}
