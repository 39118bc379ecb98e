/** Sources of blobs for tests: a registry's behaviour without a registry. */
import { createHash } from "node:crypto";
import { MsbError } from "../../src/errors.js";
import type { Digest, ExpectedContent } from "../../src/oci/digest.js";
import type { OpenBlob } from "../../src/oci/store/fetch-blob.js";

export function expectedOf(bytes: Uint8Array): ExpectedContent {
  return {
    digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest,
    size: bytes.length,
  };
}

/** The same bytes for the same seed. */
export function someBytes(sizeBytes: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  let state = seed >>> 0 || 1;
  for (let at = 0; at < sizeBytes; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

export const lost = (): MsbError => new MsbError("MSB_ERR_REGISTRY_UNAVAILABLE", "connection lost");

export async function* chunked(bytes: Uint8Array, chunkBytes = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    yield bytes.slice(at, at + chunkBytes);
  }
}

export interface SourceOpts {
  readonly chunkBytes?: number;
  readonly hasRanges?: boolean;
  /** How many bytes each connection gives before it breaks, in order; those after the last give all. */
  readonly breaksAfter?: readonly number[];
  readonly breakWith?: () => Error;
}

/** Serves `bytes`; notes the offset of each request. */
export function sourceOf(
  bytes: Uint8Array,
  opts: SourceOpts = {},
): { open: OpenBlob; offsets: number[] } {
  const offsets: number[] = [];
  const open: OpenBlob = async (asked) => {
    const limit = opts.breaksAfter?.[offsets.length];
    offsets.push(asked);
    const offset = opts.hasRanges === false ? 0 : asked;
    const rest = bytes.subarray(offset);
    const body = async function* (): AsyncGenerator<Uint8Array> {
      yield* chunked(limit === undefined ? rest : rest.subarray(0, limit), opts.chunkBytes);
      if (limit !== undefined) throw (opts.breakWith ?? lost)();
    };
    return { offset, body: body() };
  };
  return { open, offsets };
}

/** A body that gives `bytes`, calls `onHang`, and then gives nothing, for ever, deaf to signals. */
export function hangingBody(
  bytes: Uint8Array,
  onHang: () => void = () => {},
): AsyncIterable<Uint8Array> {
  return {
    async *[Symbol.asyncIterator]() {
      yield bytes;
      onHang();
      await new Promise<never>(() => {});
    },
  };
}
