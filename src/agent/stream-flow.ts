/** The two halves of a stream's flow control (PROTOCOL.md, section 3). */
import { MsbError } from "../errors.js";
import { Channel, encodeFrame, FrameType, protocolError } from "./frame.js";
import { STREAM_WINDOW_BYTES } from "./messages.js";

/** Data frames of the host carry at most this much, so that streams take turns. */
const MAX_DATA_BYTES = 32_768;

export interface OutputChunk {
  readonly channel: Channel;
  readonly data: Buffer;
}

/**
 * Bytes from the guest, in arrival order. Holds at most one window; the guest may send more only as
 * the reader takes chunks. One reader at a time.
 */
export class InboundFlow implements AsyncIterable<OutputChunk> {
  #received: number;
  #consumed: number;
  #limit: number;
  #credited: number;
  readonly #queue: OutputChunk[] = [];
  #done = false;
  #failure: MsbError | undefined;
  #wake: (() => void) | undefined;

  constructor(
    private readonly sendCredit: (consumed: number, limit: number) => void,
    start = 0,
  ) {
    this.#received = this.#consumed = this.#credited = start;
    this.#limit = start + STREAM_WINDOW_BYTES;
  }

  /** Payload bytes received since the stream began. */
  get received(): number {
    return this.#received;
  }

  /** Takes one data frame; throws MSB_ERR_PROTOCOL when the guest overruns its credit. */
  accept(chunk: OutputChunk): void {
    if (this.#received + chunk.data.length > this.#limit) throw protocolError("data over credit");
    if (this.#done) return;
    this.#received += chunk.data.length;
    if (chunk.data.length === 0) return;
    this.#queue.push(chunk);
    this.#wake?.();
  }

  /** No more data comes; the reader ends after what is queued. */
  finish(): void {
    this.#done = true;
    this.#wake?.();
  }

  /** The reader throws `error` after what is queued. */
  fail(error: MsbError): void {
    if (this.#done) return;
    this.#failure = error;
    this.finish();
  }

  /** A new connection is to go on where the old one ended: returns that offset and opens the window there. */
  rewind(): number {
    this.#limit = this.#received + STREAM_WINDOW_BYTES;
    this.#credited = this.#received;
    return this.#received;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<OutputChunk, void, void> {
    for (;;) {
      const chunk = this.#queue.shift();
      if (chunk !== undefined) {
        yield chunk;
        this.#consumed += chunk.data.length;
        this.#grant();
        continue;
      }
      if (this.#done) {
        if (this.#failure !== undefined) throw this.#failure;
        return;
      }
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
  }

  #grant(): void {
    if (this.#consumed - this.#credited < STREAM_WINDOW_BYTES / 4) return;
    this.#credited = this.#consumed;
    this.#limit = this.#consumed + STREAM_WINDOW_BYTES;
    this.sendCredit(this.#consumed, this.#limit);
  }
}

/** Bytes on their way to the guest, of one channel. */
interface InputPiece {
  readonly channel: Channel;
  readonly data: Buffer;
}

/**
 * Bytes to the guest, over all channels of the stream. Keeps what the guest has not consumed yet, so that a new connection can go on.
 */
export class OutboundFlow {
  // #pending[0] begins at #base; bytes up to #sent have been written to the connection.
  readonly #pending: InputPiece[] = [];
  #base: number;
  #sent: number;
  #end: number;
  #limit: number;
  #ended = false;
  #endSent = false;
  #paused = false;
  #failure: MsbError | undefined;
  #waiters: Array<{ until: number; resolve: () => void; reject: (error: MsbError) => void }> = [];

  constructor(
    private readonly stream: number,
    private readonly send: (frame: Buffer) => boolean,
    start = 0,
  ) {
    this.#base = this.#sent = this.#end = start;
    this.#limit = start + STREAM_WINDOW_BYTES;
  }

  /** Queues bytes; resolves when the last of them has been sent. */
  async write(data: Uint8Array, channel: Channel = Channel.input): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#ended && channel === Channel.input) {
      throw new MsbError(
        "MSB_ERR_INVALID_ARGUMENT",
        "This stream was ended; nothing can be written to it.",
      );
    }
    if (data.length === 0) return;
    this.#pending.push({
      channel,
      data: Buffer.from(data.buffer, data.byteOffset, data.byteLength),
    });
    this.#end += data.length;
    this.flush();
    if (this.#sent >= this.#end) return;
    const until = this.#end;
    await new Promise<void>((resolve, reject) => this.#waiters.push({ until, resolve, reject }));
  }

  /** After what was written no more comes. */
  end(): void {
    this.#ended = true;
    this.flush();
  }

  grant(consumed: number, limit: number): void {
    if (consumed > this.#sent || consumed < this.#base || limit < this.#limit) {
      if (consumed > this.#sent || limit > consumed + STREAM_WINDOW_BYTES) {
        throw protocolError("credit for bytes that were never sent");
      }
      return;
    }
    this.#release(consumed);
    this.#limit = limit;
    this.flush();
  }

  /** Sends nothing until `resume`: on a new connection it is not known yet where to go on. */
  pause(): void {
    this.#paused = true;
  }

  /** A new connection: the guest has `received` bytes; what lies behind is sent again. */
  resume(received: number): void {
    if (received < this.#base || received > this.#end) {
      throw protocolError(`input resumes at ${received}`);
    }
    this.#release(received);
    this.#paused = false;
    this.#sent = received;
    this.#limit = received + STREAM_WINDOW_BYTES;
    this.#endSent = false;
    this.flush();
  }

  fail(error: MsbError): void {
    this.#failure ??= error;
    this.#pending.length = 0;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }

  #release(consumed: number): void {
    while (this.#pending.length > 0) {
      const { channel, data } = this.#pending[0] as InputPiece;
      if (this.#base + data.length > consumed) {
        this.#pending[0] = { channel, data: data.subarray(consumed - this.#base) };
        break;
      }
      this.#base += data.length;
      this.#pending.shift();
    }
    this.#base = consumed;
  }

  /** Sends what credit and connection allow. */
  flush(): void {
    if (this.#failure !== undefined || this.#paused) return;
    while (this.#sent < Math.min(this.#end, this.#limit)) {
      const credit = Math.min(this.#end, this.#limit) - this.#sent;
      const { channel, data } = this.#pieceAt(this.#sent, credit);
      if (!this.send(encodeFrame(FrameType.data, this.stream, data, { channel }))) return;
      this.#sent += data.length;
    }
    if (this.#ended && !this.#endSent && this.#sent === this.#end) {
      const frame = encodeFrame(FrameType.data, this.stream, Buffer.alloc(0), { end: true });
      this.#endSent = this.send(frame);
    }
    const isSent = (until: number): boolean => until <= this.#sent;
    const ready = this.#waiters.filter((waiter) => isSent(waiter.until));
    this.#waiters = this.#waiters.filter((waiter) => !isSent(waiter.until));
    for (const waiter of ready) waiter.resolve();
  }

  #pieceAt(offset: number, maxBytes: number): InputPiece {
    let start = this.#base;
    for (const { channel, data } of this.#pending) {
      if (offset < start + data.length) {
        const from = offset - start;
        const until = from + Math.min(maxBytes, MAX_DATA_BYTES);
        return { channel, data: data.subarray(from, until) };
      }
      start += data.length;
    }
    throw new MsbError(
      "MSB_ERR_INTERNAL",
      `No byte ${offset} is queued for stream ${this.stream}.`,
    );
  }
}
