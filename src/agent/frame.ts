/**
 * The frames of PROTOCOL.md, section 1: encoder and capped incremental decoder.
 * The decoder reads hostile bytes: it holds one frame at most and allocates nothing on the guest's word.
 */
import { MsbError } from "../errors.js";

export const FRAME_MARK = 0xb5;
export const FRAME_END = 0x5b;
export const FRAME_HEADER_BYTES = 12;
export const MAX_PAYLOAD_BYTES = 65_536;
export const MAX_STREAM = 0x7fff_ffff;
/** The flag of a sender that sends no more data on the stream. */
const FLAG_END = 1;
const MAX_FRAME_BYTES = FRAME_HEADER_BYTES + MAX_PAYLOAD_BYTES + 1;

export const FrameType = { control: 1, data: 2, credit: 3 } as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

/** `control` goes both ways; the others one. */
export const Channel = { input: 0, stdout: 1, stderr: 2, control: 3 } as const;
export type Channel = (typeof Channel)[keyof typeof Channel];

export interface Frame {
  readonly type: FrameType;
  /** Always `input` unless this is a data frame. */
  readonly channel: Channel;
  /** The sender sends no more data on this stream. */
  readonly end: boolean;
  /** 0 is the connection itself. */
  readonly stream: number;
  readonly payload: Buffer;
}

/** One frame as bytes. The payload must not be longer than MAX_PAYLOAD_BYTES. */
export function encodeFrame(
  type: FrameType,
  stream: number,
  payload: Uint8Array,
  opts: { channel?: Channel; end?: boolean } = {},
): Buffer {
  if (payload.length > MAX_PAYLOAD_BYTES) {
    throw new RangeError(`frame payload of ${payload.length} bytes is over ${MAX_PAYLOAD_BYTES}`);
  }
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length + 1);
  frame[0] = FRAME_MARK;
  frame[1] = type;
  frame[2] = opts.channel ?? Channel.input;
  frame[3] = opts.end === true ? FLAG_END : 0;
  frame.writeUInt32LE(stream, 4);
  frame.writeUInt32LE(payload.length, 8);
  frame.set(payload, FRAME_HEADER_BYTES);
  frame[FRAME_HEADER_BYTES + payload.length] = FRAME_END;
  return frame;
}

/** A credit frame: `consumed` and `limit` are totals of payload bytes since the stream began. */
export function encodeCredit(stream: number, consumed: number, limit: number): Buffer {
  const payload = Buffer.allocUnsafe(16);
  payload.writeBigUInt64LE(BigInt(consumed), 0);
  payload.writeBigUInt64LE(BigInt(limit), 8);
  return encodeFrame(FrameType.credit, stream, payload);
}

/** Reads the payload of a credit frame. Throws MSB_ERR_PROTOCOL unless it holds two safe integers. */
export function decodeCredit(payload: Buffer): { consumed: number; limit: number } {
  if (payload.length !== 16) throw protocolError(`credit of ${payload.length} bytes`);
  const consumed = Number(payload.readBigUInt64LE(0));
  const limit = Number(payload.readBigUInt64LE(8));
  if (!Number.isSafeInteger(consumed) || !Number.isSafeInteger(limit) || limit < consumed) {
    throw protocolError(`credit of ${consumed}/${limit}`);
  }
  return { consumed, limit };
}

/** The guest broke the protocol; the connection must be closed. */
export function protocolError(what: string): MsbError {
  return new MsbError(
    "MSB_ERR_PROTOCOL",
    `The guest agent broke the protocol (${what}); the connection was closed. ` +
      "The guest may be damaged or hostile: stop the microVM and start a new one.",
    { details: { what } },
  );
}

/**
 * Turns bytes into frames. `push` calls `onFrame` for each whole frame, in order, and throws
 * MSB_ERR_PROTOCOL at the first malformed byte; the decoder is of no use after that.
 * A frame's payload may share memory with the pushed chunk.
 */
export class FrameDecoder {
  // Holds the one frame that is not complete yet; made at the first need, never grown.
  #scratch: Buffer | undefined;
  #held = 0;

  push(chunk: Buffer, onFrame: (frame: Frame) => void): void {
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#held > 0) {
        offset += this.#complete(chunk, offset, onFrame);
        continue;
      }
      if (chunk[offset] === 0) {
        offset += 1;
        continue;
      }
      const available = chunk.length - offset;
      if (available >= FRAME_HEADER_BYTES) {
        const total = frameBytes(chunk, offset);
        if (available >= total) {
          onFrame(parseFrame(chunk.subarray(offset, offset + total)));
          offset += total;
          continue;
        }
      } else if (chunk[offset] !== FRAME_MARK) {
        throw protocolError(`frame mark 0x${chunk[offset]?.toString(16)}`);
      }
      this.#scratch ??= Buffer.allocUnsafe(MAX_FRAME_BYTES);
      chunk.copy(this.#scratch, 0, offset);
      this.#held = available;
      return;
    }
  }

  /** Adds to the held frame what it lacks; returns how many bytes were taken. */
  #complete(chunk: Buffer, offset: number, onFrame: (frame: Frame) => void): number {
    const scratch = this.#scratch as Buffer;
    const header = Math.min(Math.max(0, FRAME_HEADER_BYTES - this.#held), chunk.length - offset);
    chunk.copy(scratch, this.#held, offset, offset + header);
    this.#held += header;
    if (this.#held < FRAME_HEADER_BYTES) return header;
    const total = frameBytes(scratch, 0);
    const rest = Math.min(total - this.#held, chunk.length - offset - header);
    chunk.copy(scratch, this.#held, offset + header, offset + header + rest);
    this.#held += rest;
    if (this.#held === total) {
      this.#held = 0;
      onFrame(parseFrame(Buffer.from(scratch.subarray(0, total))));
    }
    return header + rest;
  }
}

/** The length of the frame whose header is at `offset`; throws when any field of the header is wrong. */
function frameBytes(buffer: Buffer, offset: number): number {
  const [mark, type, channel, flags] = buffer.subarray(offset, offset + 4) as unknown as number[];
  const stream = buffer.readUInt32LE(offset + 4);
  const length = buffer.readUInt32LE(offset + 8);
  const isData = type === FrameType.data;
  if (mark !== FRAME_MARK) throw protocolError(`frame mark 0x${mark?.toString(16)}`);
  if (!type || type > FrameType.credit) throw protocolError(`frame type ${type}`);
  if ((channel ?? 0) > (isData ? Channel.control : 0)) throw protocolError(`channel ${channel}`);
  if ((flags ?? 0) > (isData ? FLAG_END : 0)) throw protocolError(`flags ${flags}`);
  if (stream > MAX_STREAM) throw protocolError(`stream ${stream}`);
  if (stream === 0 && type !== FrameType.control) throw protocolError("data on stream 0");
  if (length > MAX_PAYLOAD_BYTES) throw protocolError(`frame payload of ${length} bytes`);
  return FRAME_HEADER_BYTES + length + 1;
}

/** Reads one whole frame whose header was checked. */
function parseFrame(bytes: Buffer): Frame {
  if (bytes[bytes.length - 1] !== FRAME_END) throw protocolError("frame end");
  return {
    type: bytes[1] as FrameType,
    channel: bytes[2] as Channel,
    end: bytes[3] === FLAG_END,
    stream: bytes.readUInt32LE(4),
    payload: bytes.subarray(FRAME_HEADER_BYTES, bytes.length - 1),
  };
}
