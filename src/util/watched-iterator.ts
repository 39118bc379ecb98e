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
  const aborted = deferred<"aborted">();
  const onAbort = (): void => aborted.resolve("aborted");
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  let pending: Promise<IteratorResult<T>> | undefined;
  let isDone = false;
  try {
    while (!signal.aborted) {
      pending ??= source.next();
      const next = await firstOf(pending, aborted.promise, idleMs);
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
    signal.removeEventListener("abort", onAbort);
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

async function firstOf<T>(
  pending: Promise<IteratorResult<T>>,
  aborted: Promise<"aborted">,
  idleMs: number,
): Promise<IteratorResult<T> | "aborted" | "idle"> {
  let timer: NodeJS.Timeout | undefined;
  const idle = new Promise<"idle">((resolve) => {
    timer = setTimeout(() => resolve("idle"), idleMs);
  });
  try {
    return await Promise.race([pending, aborted, idle]);
  } finally {
    clearTimeout(timer);
  }
}
