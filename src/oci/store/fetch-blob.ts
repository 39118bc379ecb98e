/** Fills a partial file from a source that may break off: goes on where it stopped, and believes nothing unchecked. */
import { setTimeout as delay } from "node:timers/promises";
import { isMsbError, MsbError } from "../../errors.js";
import { abortable, abortReason, throwIfAborted } from "../../util/async.js";
import { abortableChunks } from "../../util/abortable-chunks.js";
import { printable } from "../../util/printable.js";
import { type ExpectedContent, hexOf, mismatch } from "../digest.js";
import type { PartialFile } from "./partial-file.js";
import type { ProgressMeter } from "./progress-meter.js";

/** The bytes from `offset` on, or from 0 when the answer says so. */
export type OpenBlob = (
  offset: number,
  signal?: AbortSignal,
) => Promise<{ readonly offset: number; readonly body: AsyncIterable<Uint8Array> }>;

export interface FetchRetry {
  /** Tries in a row without a byte that was not there before. */
  readonly attempts: number;
  /** The first pause; each further one is twice as long, up to `maxDelayMs`. */
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
}

export const DEFAULT_FETCH_RETRY: FetchRetry = {
  attempts: 5,
  baseDelayMs: 300,
  maxDelayMs: 10_000,
};

/** However far each of them gets: a source that gives a byte a connection is not one to wait for. */
const MAX_CONNECTIONS = 1_000;

export interface FetchInto {
  readonly expected: ExpectedContent;
  readonly open: OpenBlob;
  readonly meter: ProgressMeter;
  readonly retry: FetchRetry;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Fills `partial` until it is what is expected. Content that is wrong is thrown away; if parts of it came from
 * different sittings it is then fetched once more in one piece, since one of them may have been spoilt on disk.
 * Throws MSB_ERR_DIGEST_MISMATCH, MSB_ERR_NO_SPACE, MSB_ERR_ABORTED, and what `open` and the body throw.
 */
export async function fetchInto(partial: PartialFile, fetch: FetchInto): Promise<void> {
  const { expected, meter, signal } = fetch;
  await partial.readExisting(expected.size, signal);
  await partial.checkSpace(expected.size - partial.sizeBytes);
  meter.set("running", { doneBytes: partial.sizeBytes });
  const isPatched = await receiveAll(partial, fetch);
  if (partial.hex() === hexOf(expected.digest)) return;
  if (isPatched) {
    await partial.restart();
    meter.set("retrying", { doneBytes: 0, note: "what was there was not good" });
    await receiveAll(partial, fetch);
    if (partial.hex() === hexOf(expected.digest)) return;
  }
  const found = partial.hex();
  await partial.restart();
  throw mismatch(expected, `its digest is ${found}`);
}

/** True when the bytes are not all from one answer. */
async function receiveAll(partial: PartialFile, fetch: FetchInto): Promise<boolean> {
  const { expected, meter, retry, signal } = fetch;
  let mostBytes = partial.sizeBytes;
  let isPatched = partial.sizeBytes > 0;
  let failures = 0;
  for (let connections = 1; partial.sizeBytes < expected.size; connections++) {
    throwIfAborted(signal, `Fetching ${expected.digest}`);
    try {
      isPatched = (await receive(partial, fetch)) > 0;
    } catch (error) {
      const isEnd = !isMsbError(error) || !error.retryable || connections >= MAX_CONNECTIONS;
      if (isEnd || signal?.aborted) throw error;
      failures = partial.sizeBytes > mostBytes ? 1 : failures + 1;
      if (failures >= retry.attempts) throw error;
      mostBytes = Math.max(mostBytes, partial.sizeBytes);
      meter.set("retrying", { doneBytes: partial.sizeBytes, note: noteOf(error) });
      await pause(retry, failures, fetch);
    }
  }
  return isPatched;
}

/** Takes one answer to its end; says at which offset it began. */
async function receive(partial: PartialFile, fetch: FetchInto): Promise<number> {
  const { expected, meter, signal } = fetch;
  const { offset, body } = await openAbortable(partial.sizeBytes, fetch);
  if (offset !== partial.sizeBytes) await partial.restart();
  if (offset !== partial.sizeBytes) {
    throw new MsbError(
      "MSB_ERR_REGISTRY",
      `The registry was asked for another part of ${expected.digest} than it sent (from byte ${offset} on).`,
    );
  }
  try {
    const what = `Fetching ${expected.digest}`;
    for await (const chunk of abortableChunks(body, signal, what)) {
      if (partial.sizeBytes + chunk.length > expected.size) {
        await partial.restart();
        throw mismatch(expected, `it has more than the ${expected.size} bytes announced`);
      }
      await partial.append(chunk);
      meter.advance(partial.sizeBytes);
    }
  } finally {
    // What came before a failure is there for the next try.
    await partial.flush();
  }
  if (partial.sizeBytes < expected.size) {
    throw new MsbError(
      "MSB_ERR_REGISTRY_UNAVAILABLE",
      `The connection ended after ${partial.sizeBytes} of the ${expected.size} bytes of ${expected.digest}. ` +
        "Try again: it goes on from there.",
      { details: { digest: expected.digest, receivedBytes: partial.sizeBytes } },
    );
  }
  return offset;
}

/** Lets an answer go that comes after the abort. */
async function openAbortable(
  offset: number,
  { expected, open, signal }: FetchInto,
): ReturnType<OpenBlob> {
  const opening = open(offset, signal);
  try {
    return await abortable(opening, signal, `Fetching ${expected.digest}`);
  } catch (error) {
    void opening.then(
      ({ body }) => body[Symbol.asyncIterator]().return?.(),
      () => {},
    );
    throw error;
  }
}

async function pause(retry: FetchRetry, failures: number, fetch: FetchInto): Promise<void> {
  const { signal, expected } = fetch;
  const fullMs = Math.min(retry.baseDelayMs * 2 ** (failures - 1), retry.maxDelayMs);
  // Half of it is left to chance, so that many clients do not come back at once.
  const delayMs = fullMs * (0.5 + Math.random() / 2);
  try {
    await delay(delayMs, undefined, signal === undefined ? {} : { signal });
  } catch {
    throw abortReason(signal!, `Fetching ${expected.digest}`);
  }
}

function noteOf(error: MsbError): string {
  return printable(error.message.slice(0, 200)).replaceAll("\n", " ");
}
