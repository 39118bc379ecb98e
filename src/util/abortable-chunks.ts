/** Reading a stream that may never say anything again. */
import { abortable } from "./async.js";

/**
 * The items of `source`; MSB_ERR_ABORTED as soon as `signal` aborts, whether `source` heeds it or not. `source` is
 * told to end when the reader is done, for whatever reason.
 */
export async function* abortableChunks<T>(
  source: AsyncIterable<T>,
  signal: AbortSignal | undefined,
  what: string,
): AsyncGenerator<T, void, undefined> {
  const iterator = source[Symbol.asyncIterator]();
  let isPending = false;
  try {
    for (;;) {
      isPending = true;
      const item = await abortable(iterator.next(), signal, what);
      isPending = false;
      if (item.done) return;
      yield item.value;
    }
  } finally {
    const ended = Promise.resolve(iterator.return?.()).catch(() => {});
    // A generator that still waits for its next item does not hear of the end before that comes.
    if (!isPending) await ended;
  }
}
