/** One of zlib's streams as an async generator. */
import { type Duplex, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { damaged } from "./layer-error.js";

const BUFFERED_BYTES = 1024 ** 2;

/** `source` through `transform`; an error of `source` is thrown as it is, one of `transform` is a damaged `format`. */
export async function* throughZlib(
  source: AsyncIterable<Buffer>,
  transform: Duplex,
  format: string,
): AsyncGenerator<Buffer, void, undefined> {
  let sourceError: unknown;
  const marked = (async function* () {
    try {
      yield* source;
    } catch (error) {
      sourceError = error;
      throw error;
    }
  })();
  const input = Readable.from(marked, { objectMode: false, highWaterMark: BUFFERED_BYTES });
  const feeding = pipeline(input, transform);
  // Its errors arrive through the transform, too.
  feeding.catch(() => {});
  try {
    for await (const chunk of transform) yield chunk as Buffer;
    await feeding;
  } catch (error) {
    throw sourceError ?? damaged(format, error);
  } finally {
    input.destroy();
    transform.destroy();
  }
}
