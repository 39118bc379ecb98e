/** Layers as plain tar streams, whatever they are compressed with; what they expand to is bounded. */
import { createGunzip } from "node:zlib";
import { counting } from "../../util/counting.js";
import { tooLarge } from "./layer-error.js";
import type { LayerLimits } from "./limits.js";
import { throughZlib } from "./through-zlib.js";
import { unzstd } from "./zstd.js";

const CHUNK_BYTES = 256 * 1024;
/** A ratio says nothing about the first bytes. */
const RATIO_FLOOR_BYTES = 256 * 1024 ** 2;

/**
 * The uncompressed bytes of `source`, told by its first bytes: gzip (RFC 1952), zstd (RFC 8878), or as it is.
 * Media types are not asked: builders are known to mix them up, and the diff id settles it.
 * Throws MSB_ERR_IMAGE_INVALID and MSB_ERR_IMAGE_LIMIT, and what `source` throws.
 */
export async function* decompressed(
  source: AsyncIterable<Buffer>,
  limits: Pick<LayerLimits, "maxLayerBytes" | "maxRatio">,
): AsyncGenerator<Buffer, void, undefined> {
  let inputBytes = 0;
  let outputBytes = 0;
  const counted = counting(source, (count) => (inputBytes += count));
  const { head, rest } = await peek(counted, 4);
  for await (const chunk of expand(head, rest)) {
    outputBytes += chunk.length;
    if (outputBytes > limits.maxLayerBytes)
      throw tooLarge("A layer expands to more bytes", "maxLayerBytes", limits.maxLayerBytes);
    if (outputBytes > RATIO_FLOOR_BYTES && outputBytes > limits.maxRatio * inputBytes) {
      throw tooLarge("A layer expands to more times its size", "maxRatio", limits.maxRatio);
    }
    yield chunk;
  }
}

function expand(head: Buffer, source: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  if (head[0] === 0x1f && head[1] === 0x8b) {
    return throughZlib(source, createGunzip({ chunkSize: CHUNK_BYTES }), "gzip");
  }
  const magic = head.length === 4 ? head.readUInt32LE(0) : 0;
  const isSkippable = magic >>> 4 === 0x184d2a5;
  if (magic === 0xfd2fb528 || isSkippable) return unzstd(source);
  return source;
}

/** The first `count` bytes (fewer if there are no more), and a stream that begins with them. */
async function peek(
  source: AsyncGenerator<Buffer>,
  count: number,
): Promise<{ head: Buffer; rest: AsyncIterable<Buffer> }> {
  const seen: Buffer[] = [];
  let seenBytes = 0;
  while (seenBytes < count) {
    const next = await source.next();
    if (next.done === true) break;
    seen.push(next.value);
    seenBytes += next.value.length;
  }
  const rest = (async function* () {
    yield* seen;
    yield* source;
  })();
  return { head: Buffer.concat(seen).subarray(0, count), rest };
}
