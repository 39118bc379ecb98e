/** One connection to the agent: preamble, frames, requests and replies. Knows nothing of execs and files. */
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { MsbError } from "../errors.js";
import { throwIfAborted } from "../util/async.js";
import {
  decodeCredit,
  encodeCredit,
  encodeFrame,
  type Frame,
  FrameDecoder,
  FrameType,
  protocolError,
} from "./frame.js";
import {
  type Fields,
  type GuestError,
  type GuestMessage,
  type HostRequests,
  type HostRequestType,
  MAX_PENDING_REQUESTS,
  parseGuestMessage,
} from "./messages.js";

/** Zeros that complete whatever frame an earlier connection left unfinished (PROTOCOL.md, section 2). */
const RESYNC_PADDING_BYTES = 65_600;
const PREAMBLE_MAGIC = Buffer.from("\0\0\0\0msb-sync\r\n\x1a\n", "latin1");
/** Stale bytes of an earlier connection that are dropped before the preamble must come. */
const MAX_STALE_BYTES = 8 * 1024 * 1024;
/** Unsent bytes in the socket beyond which data frames wait. */
const MAX_UNSENT_BYTES = 1024 * 1024;

/** What a stream does with what comes for it. Throwing MSB_ERR_PROTOCOL closes the connection. */
export interface StreamHandler {
  onData(frame: Frame): void;
  onCredit(consumed: number, limit: number): void;
  onMessage(message: GuestMessage): void;
  /** The socket took its backlog; data frames that were refused can be sent now. */
  onDrain(): void;
}

/** What owns the present connection: the part of a client that its streams need. */
export interface AgentLink {
  /** The connection, or an error that says what to do. */
  requireConnection(): Connection;
  /** A stream number that was never used in this guest. */
  takeStream(): number;
  /** Calls `listener` whenever the connection is lost; returns the function that removes it. */
  onDisconnect(listener: (error: MsbError) => void): () => void;
}

interface PendingRequest {
  readonly type: HostRequestType;
  readonly resolve: (fields: Fields) => void;
  readonly reject: (error: MsbError) => void;
}

export class Connection {
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder();
  readonly #requests = new Map<number, PendingRequest>();
  readonly #streams = new Map<number, StreamHandler>();
  readonly #preamble: Buffer;
  #preambleMatched = 0;
  #staleBytes = 0;
  #lastRequestId = 0;
  #highestStream = 0;
  #closeError: MsbError | undefined;
  readonly #onClose: (error: MsbError) => void;
  readonly session: string;

  private constructor(socket: Socket, session: Buffer, onClose: (error: MsbError) => void) {
    this.#socket = socket;
    this.session = session.toString("hex");
    this.#preamble = Buffer.concat([PREAMBLE_MAGIC, session]);
    this.#onClose = onClose;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("drain", () => this.#drained());
    socket.on("error", (cause) => this.close(unreachable("the connection failed", cause)));
    socket.on("close", () => this.close(unreachable("the connection was closed by the VM side")));
  }

  /**
   * Connects to the agent's unix socket; the caller sends `hello` next. `mayBeCutShort` is true when an earlier
   * connection may have ended within a frame. `onClose` is called once, with the reason.
   */
  static async open(
    socketPath: string,
    opts: { mayBeCutShort: boolean; onClose: (error: MsbError) => void; signal?: AbortSignal },
  ): Promise<Connection> {
    throwIfAborted(opts.signal, "Connecting to the guest agent");
    const socket = await new Promise<Socket>((resolve, reject) => {
      const attempt = connect({ path: socketPath });
      const onAbort = (): void => {
        attempt.destroy(new Error("aborted"));
      };
      opts.signal?.addEventListener("abort", onAbort, { once: true });
      const settle = (): void => opts.signal?.removeEventListener("abort", onAbort);
      attempt.once("connect", () => {
        settle();
        attempt.removeAllListeners("error");
        resolve(attempt);
      });
      attempt.once("error", (cause) => {
        settle();
        reject(unreachable(`cannot connect to ${socketPath}`, cause));
      });
    });
    const connection = new Connection(socket, randomBytes(16), opts.onClose);
    if (opts.mayBeCutShort) socket.write(Buffer.alloc(RESYNC_PADDING_BYTES));
    return connection;
  }

  get isOpen(): boolean {
    return this.#closeError === undefined;
  }

  /** Sends a request and waits for its reply. A reply of kind error becomes MsbError. */
  async request<T extends HostRequestType>(
    type: T,
    fields: HostRequests[T],
    opts: { stream?: number; signal?: AbortSignal } = {},
  ): Promise<Fields> {
    throwIfAborted(opts.signal, `The request ${type}`);
    if (this.#closeError !== undefined) throw this.#closeError;
    if (this.#requests.size >= MAX_PENDING_REQUESTS) {
      throw new MsbError(
        "MSB_ERR_AGENT_FAILED",
        `${MAX_PENDING_REQUESTS} requests to the guest agent are pending; wait for some of them.`,
      );
    }
    const id = ++this.#lastRequestId;
    const payload = Buffer.from(JSON.stringify({ id, type, ...fields }), "utf8");
    const frame = encodeControl(type, opts.stream ?? 0, payload);
    return new Promise<Fields>((resolve, reject) => {
      const onAbort = (): void => {
        this.#requests.delete(id);
        reject(abortError(type, opts.signal));
      };
      const settled = (): void => opts.signal?.removeEventListener("abort", onAbort);
      opts.signal?.addEventListener("abort", onAbort, { once: true });
      this.#requests.set(id, {
        type,
        resolve: (reply) => {
          settled();
          resolve(reply);
        },
        reject: (error) => {
          settled();
          reject(error);
        },
      });
      this.#socket.write(frame);
    });
  }

  /** Sends an event: a control message without a reply. */
  sendEvent(type: "stream.cancel", stream: number): void {
    if (this.isOpen) {
      this.#socket.write(encodeControl(type, stream, Buffer.from(JSON.stringify({ type }))));
    }
  }

  /** Sends a data frame; false when it must wait for `onDrain` or a new connection. */
  sendData(frame: Buffer): boolean {
    if (!this.isOpen || this.#socket.writableLength > MAX_UNSENT_BYTES) return false;
    this.#socket.write(frame);
    return true;
  }

  sendCredit(stream: number, consumed: number, limit: number): void {
    if (this.isOpen) this.#socket.write(encodeCredit(stream, consumed, limit));
  }

  /** Frames of `stream` go to `handler` from now on. */
  addStream(stream: number, handler: StreamHandler): void {
    this.#streams.set(stream, handler);
    this.#highestStream = Math.max(this.#highestStream, stream);
  }

  /** What still comes for `stream` is dropped. */
  removeStream(stream: number): void {
    this.#streams.delete(stream);
  }

  /** Closes at once; everything pending fails with `error`. Idempotent. */
  close(error: MsbError): void {
    if (this.#closeError !== undefined) return;
    this.#closeError = error;
    this.#socket.destroy();
    for (const request of this.#requests.values()) request.reject(error);
    this.#requests.clear();
    this.#streams.clear();
    this.#onClose(error);
  }

  #drained(): void {
    for (const handler of this.#streams.values()) handler.onDrain();
  }

  #receive(chunk: Buffer): void {
    try {
      const rest = this.#preambleMatched < this.#preamble.length ? this.#skipStale(chunk) : chunk;
      if (rest.length > 0) this.#decoder.push(rest, (frame) => this.#dispatch(frame));
    } catch (error) {
      this.close(error instanceof MsbError ? error : protocolError(String(error)));
    }
  }

  /** Drops bytes up to and including the preamble; returns what follows it. */
  #skipStale(chunk: Buffer): Buffer {
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i];
      if (byte === this.#preamble[this.#preambleMatched]) {
        this.#preambleMatched += 1;
        if (this.#preambleMatched === this.#preamble.length) return chunk.subarray(i + 1);
        continue;
      }
      // The preamble begins with four zeros and has no other: the only useful restart is within them.
      const zeros = this.#preambleMatched;
      this.#preambleMatched = byte === 0 ? (zeros === 4 ? 4 : 1) : 0;
    }
    this.#staleBytes += chunk.length;
    if (this.#staleBytes > MAX_STALE_BYTES) throw protocolError("no preamble");
    return chunk.subarray(chunk.length);
  }

  #dispatch(frame: Frame): void {
    if (!this.isOpen) return;
    if (frame.type === FrameType.control) {
      this.#dispatchMessage(frame.stream, parseGuestMessage(frame.payload));
      return;
    }
    const handler = this.#streams.get(frame.stream);
    if (handler === undefined) {
      // Frames of a stream that was closed here may still be under way; others were never asked for.
      if (frame.stream > this.#highestStream) throw protocolError(`unknown stream ${frame.stream}`);
      return;
    }
    if (frame.type === FrameType.data) {
      handler.onData(frame);
    } else {
      const { consumed, limit } = decodeCredit(frame.payload);
      handler.onCredit(consumed, limit);
    }
  }

  #dispatchMessage(stream: number, message: GuestMessage): void {
    if (message.kind === "ok" || message.kind === "error") {
      const request = this.#requests.get(message.id);
      if (request === undefined) return;
      this.#requests.delete(message.id);
      if (message.kind === "ok") request.resolve(message.fields);
      else request.reject(guestError(request.type, message.error));
      return;
    }
    this.#streams.get(stream)?.onMessage(message);
  }
}

function encodeControl(type: string, stream: number, payload: Buffer): Buffer {
  try {
    return encodeFrame(FrameType.control, stream, payload);
  } catch (cause) {
    throw new MsbError(
      "MSB_ERR_INVALID_ARGUMENT",
      `The ${type} request takes ${payload.length} bytes; at most 65,536 are allowed. ` +
        "Shorten argv or env, or pass long values through stdin or a file.",
      { cause },
    );
  }
}

export function unreachable(what: string, cause?: unknown): MsbError {
  return new MsbError(
    "MSB_ERR_AGENT_UNREACHABLE",
    `The guest agent cannot be reached: ${what}. If the microVM still runs, connect again.`,
    { cause, details: { what } },
  );
}

function abortError(type: string, signal: AbortSignal | undefined): MsbError {
  if (signal?.reason instanceof MsbError) return signal.reason;
  const isTimeout = signal?.reason instanceof DOMException && signal.reason.name === "TimeoutError";
  return isTimeout
    ? new MsbError("MSB_ERR_REQUEST_TIMEOUT", `The guest agent did not answer ${type} in time.`, {
        details: { request: type },
      })
    : new MsbError("MSB_ERR_ABORTED", `The request ${type} was aborted.`, {
        cause: signal?.reason,
        details: { request: type },
      });
}

/** Linux errno of "no such file or directory". */
const ENOENT = 2;

/** Translates an error of the guest into ours, by its code and errno, never by its text. */
export function guestError(type: HostRequestType | "stream", error: GuestError): MsbError {
  const details = { ...error, request: type };
  const isFile = type.startsWith("file.") || type === "stream";
  switch (error.code) {
    case "generation":
      return new MsbError(
        "MSB_ERR_GENERATION",
        `The guest agent speaks protocol generation ${error.generation ?? "unknown"}, this host another. ` +
          "Start the microVM anew, so that it gets this version's agent.",
        { details },
      );
    case "invalid":
      return new MsbError(
        "MSB_ERR_INVALID_ARGUMENT",
        `The guest agent refused ${type}: ${error.message}.`,
        {
          details,
        },
      );
    case "not-found":
      return new MsbError(
        "MSB_ERR_EXEC_NOT_FOUND",
        `${error.message}: it has ended or was closed.`,
        { details },
      );
    case "exec":
      return new MsbError(
        "MSB_ERR_EXEC_FAILED",
        `The program could not be started (${error.operation ?? "exec"}): ${error.message}.`,
        { details },
      );
    case "system":
      if (isFile && error.errno === ENOENT) {
        return new MsbError(
          "MSB_ERR_FILE_NOT_FOUND",
          `No such file in the guest: ${error.message}.`,
          { details },
        );
      }
      return new MsbError(
        isFile ? "MSB_ERR_FILE_FAILED" : "MSB_ERR_AGENT_FAILED",
        `The guest could not do ${type}: ${error.message}.`,
        { details },
      );
    default:
      return new MsbError(
        "MSB_ERR_AGENT_FAILED",
        `The guest agent answered ${type} with ${error.code}: ${error.message}.`,
        { details },
      );
  }
}
