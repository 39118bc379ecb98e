/** Streams whose bytes somebody counts. */

/** Passes `source` on; `onBytes` is told the length of each chunk before it goes on, and ends the stream by throwing. */
export async function* counting(
  source: AsyncIterable<Buffer>,
  onBytes: (count: number) => void,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const chunk of source) {
    onBytes(chunk.length);
    yield chunk;
  }
}
