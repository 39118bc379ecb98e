/** Sends an answer record by record, as fast as its client reads. */
import { Readable } from "node:stream";
import type { FastifyReply } from "fastify";
import type { StreamFailure } from "../../api/schema.js";
import { LinkedAbort } from "../../util/linked-abort.js";
import { type WatchOpts, watchedIterator } from "../../util/watched-iterator.js";
import { publicError } from "../plugins/errors.js";
import {
  contentType,
  formatIdle,
  formatRecord,
  type StreamFormat,
  type StreamRecord,
} from "./format.js";

/** Proxies close what is silent for longer. */
const HEARTBEAT_MS = 15_000;
const FIRST_RECORD_MS = 1_000;

export interface SendStreamOpts {
  readonly format: StreamFormat;
  /** The client is gone. */
  readonly gone: AbortSignal;
  /** The server is about to close; the stream then ends as if its source had. */
  readonly closing?: AbortSignal;
  /** So long an error can still be an HTTP status; then the client is told that the answer has begun. Default 1 s. */
  readonly firstRecordMs?: number;
  readonly onAbandoned?: WatchOpts<StreamRecord>["onAbandoned"];
}

/**
 * An error before the first record is thrown, so that it gets its status; a later one is the last record,
 * `failure`. The source has to end by itself when it is abandoned while it waits, as by the signal it was made with.
 */
export async function sendStream(
  reply: FastifyReply,
  source: AsyncIterable<StreamRecord>,
  opts: SendStreamOpts,
): Promise<FastifyReply> {
  const { format, onAbandoned, gone, closing } = opts;
  // Its source is not begun: nobody would read it, and one without an end would never be let go.
  if (reply.request.method === "HEAD") return withHeaders(reply, format).send("");
  const first = await started(source, opts.firstRecordMs ?? FIRST_RECORD_MS);
  const stop = new LinkedAbort(gone, closing);
  const records = watchedIterator(first, {
    idleMs: HEARTBEAT_MS,
    signal: stop.signal,
    ...(onAbandoned === undefined ? {} : { onAbandoned }),
  });
  if (gone.aborted) {
    // Reading it lets go of the source, which nothing else would do now.
    await records.next();
    stop[Symbol.dispose]();
    return reply.hijack();
  }
  const body = Readable.from(texts(records, reply, format, stop), { objectMode: false });
  // Destroyed by a client that went away; that is no error of the server.
  body.on("error", () => {});
  withHeaders(reply, format).send(body);
  reply.raw.flushHeaders();
  return reply;
}

function withHeaders(reply: FastifyReply, format: StreamFormat): FastifyReply {
  return reply
    .code(200)
    .header("content-type", contentType(format))
    .header("cache-control", "no-store")
    .header("x-accel-buffering", "no");
}

/** The source from its first record on; waits for that a moment, for the error that may come instead. */
async function started<T>(source: AsyncIterable<T>, waitMs: number): Promise<AsyncIterator<T>> {
  const iterator = source[Symbol.asyncIterator]();
  let first: Promise<IteratorResult<T>> | undefined = iterator.next();
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([
    first,
    new Promise((resolve) => {
      timer = setTimeout(resolve, waitMs);
    }),
  ]).finally(() => clearTimeout(timer));
  return {
    next: async () => {
      const result = first ?? iterator.next();
      first = undefined;
      return result;
    },
    return: async () => (await iterator.return?.()) ?? { done: true, value: undefined },
  };
}

async function* texts(
  records: AsyncIterable<StreamRecord | null>,
  reply: FastifyReply,
  format: StreamFormat,
  stop: LinkedAbort,
): AsyncGenerator<string> {
  using _linked = stop;
  try {
    if (format === "sse") yield formatIdle(format);
    for await (const record of records) {
      const text = record === null ? formatIdle(format) : formatRecord(format, record);
      if (text !== "") yield text;
    }
  } catch (thrown) {
    if (stop.signal.aborted) return;
    const { code, message, details } = publicError(thrown, reply.request);
    const failure: StreamFailure = { type: "failure", error: { code, message, details } };
    yield formatRecord(format, { event: "failure", data: failure });
  }
}
