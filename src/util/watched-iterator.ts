/** Reading from somebody who may keep silent for long, without losing what comes meanwhile. */
import { deferred } from "./async.js";

export interface WatchOpts<T> {
  /** After so long without an item, null is yielded; again and again. */
  readonly idleMs: number;
  /** Ends the reading at once, without an error. */
  readonly signal: AbortSignal;
  /** What becomes of a source that was not read to its end; default is its `return`. Must not throw. */
  readonly onAbandoned?: (source: AsyncIterator<T>, pending: Promise<unknown>) => void;
}

/** The items of `source`, with null where it kept silent. Errors of `source` are thrown. */
export async function* watchedIterator<T>(
  source: AsyncIterator<T>,
  opts: WatchOpts<T>,
): AsyncGenerator<T | null, void, undefined> {
  const { idleMs, signal } = opts;
  let pending: Promise<IteratorResult<T>> | undefined;
  let isDone = false;
  try {
    while (!signal.aborted) {
      pending ??= source.next();
      const next = await firstOf(pending, signal, idleMs);
      if (next === "aborted") return;
      if (next === "idle") {
        yield null;
        continue;
      }
      pending = undefined;
      isDone = next.done === true;
      if (isDone) return;
      yield next.value as T;
    }
  } catch (error) {
    isDone = true;
    throw error;
  } finally {
    if (!isDone) abandon(source, pending, opts.onAbandoned);
  }
}

function abandon<T>(
  source: AsyncIterator<T>,
  pending: Promise<unknown> = Promise.resolve(),
  onAbandoned: WatchOpts<T>["onAbandoned"],
): void {
  // Nobody is left to hear of errors.
  pending.catch(() => {});
  if (onAbandoned !== undefined) onAbandoned(source, pending);
  else source.return?.().catch(() => {});
}

/** Not by Promise.race: an end that does not come would keep all items that came before it. */
async function firstOf<T>(
  pending: Promise<IteratorResult<T>>,
  signal: AbortSignal,
  idleMs: number,
): Promise<IteratorResult<T> | "aborted" | "idle"> {
  const first = deferred<IteratorResult<T> | "aborted" | "idle">();
  const onAbort = (): void => first.resolve("aborted");
  const timer = setTimeout(() => first.resolve("idle"), idleMs);
  signal.addEventListener("abort", onAbort, { once: true });
  pending.then(first.resolve, first.reject);
  try {
    return await first.promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}
