/** One program in the guest: its output, stdin, control channel, signals and end. Outlives connections. */
import { MsbError } from "../errors.js";
import { abortable } from "../util/async.js";
import type { Connection, StreamHandler } from "./connection.js";
import { Channel, type Frame, protocolError } from "./frame.js";
import { type ExecExit, type ExecInfo, type GuestMessage, type PtySize } from "./messages.js";
import { InboundFlow, OutboundFlow, type OutputChunk } from "./stream-flow.js";

/** Each takes more than its bytes: a guest that writes single ones, to two streams in turn, must not fill memory. */
const MAX_CHUNKS = 1_000_000;

export interface CollectedOutput {
  readonly exit: ExecExit;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** All output in the order the guest saw it. */
  readonly chunks: readonly OutputChunk[];
}

/** How an exec reaches its present connection; null while there is none. */
export interface ExecOwner {
  connection(): Connection | null;
  /** The guest has it no more. */
  forget(stream: number): void;
}

/**
 * A running or ended program. Read `output` (or call `collect`): the guest stops the program's
 * writes when 256 KiB wait to be read, and `exited` resolves only after the output has been received.
 */
export class ExecSession implements StreamHandler, AsyncDisposable {
  readonly stream: number;
  #pid: number;
  readonly #owner: ExecOwner;
  readonly #output: InboundFlow;
  readonly #input: OutboundFlow;
  #exit: ExecExit | undefined;
  #closed = false;
  readonly exited: Promise<ExecExit>;
  #isControlClosed = false;
  readonly #controlClosedListeners = new Set<() => void>();
  #resolveExited!: (exit: ExecExit) => void;
  #rejectExited!: (error: MsbError) => void;

  constructor(stream: number, owner: ExecOwner, known?: ExecInfo) {
    this.stream = stream;
    this.#owner = owner;
    this.#pid = known?.pid ?? 0;
    this.#output = new InboundFlow(
      (consumed, limit) => owner.connection()?.sendCredit(stream, consumed, limit),
      known?.outputOffset ?? 0,
    );
    this.#input = new OutboundFlow(
      stream,
      (frame) => owner.connection()?.sendData(frame) ?? false,
      known?.stdinOffset ?? 0,
    );
    this.exited = new Promise((resolve, reject) => {
      this.#resolveExited = resolve;
      this.#rejectExited = reject;
    });
    // Nobody may be waiting yet when it fails.
    this.exited.catch(() => {});
  }

  /** The process id in the guest. */
  get pid(): number {
    return this.#pid;
  }

  /** Output in arrival order; ends when the program has ended. One reader at a time. */
  get output(): AsyncIterable<OutputChunk> {
    return this.#output;
  }

  /** Sends bytes to stdin; resolves when they have left the host (back-pressure). */
  async write(data: Uint8Array): Promise<void> {
    await this.#input.write(data);
  }

  /** Sends bytes to the control channel of an exec that has one; shares the credit of `write`. */
  async writeControl(data: Uint8Array): Promise<void> {
    await this.#input.write(data, Channel.control);
  }

  /**
   * Calls `listener` when the program, still running, has closed its control channel: what it wrote there before has
   * been received. At once when that has happened; returns the function that removes it.
   */
  onControlClosed(listener: () => void): () => void {
    if (this.#isControlClosed) listener();
    this.#controlClosedListeners.add(listener);
    return () => this.#controlClosedListeners.delete(listener);
  }

  /** Closes stdin (a pty gets its end-of-file character). */
  endStdin(): void {
    this.#input.end();
  }

  /** Sends a signal by number to the program, or to every process it started. */
  async signal(signal: number, opts: { scope?: "process" | "tree" } = {}): Promise<void> {
    await this.#connection().request(
      "exec.signal",
      { signal, scope: opts.scope ?? "process" },
      { stream: this.stream },
    );
  }

  async resize(size: PtySize): Promise<void> {
    await this.#connection().request("exec.resize", size, { stream: this.stream });
  }

  /**
   * Reads all output and waits for the end. Over `maxBytes` (default 64 MiB) or when `signal`
   * aborts, the program is killed with everything it started.
   * Throws MSB_ERR_OUTPUT_LIMIT or MSB_ERR_ABORTED.
   */
  async collect(opts: { maxBytes?: number; signal?: AbortSignal } = {}): Promise<CollectedOutput> {
    const maxBytes = opts.maxBytes ?? 64 * 1024 * 1024;
    const chunks: OutputChunk[] = [];
    let total = 0;
    const read = async (): Promise<ExecExit> => {
      for await (const chunk of this.#output) {
        total += chunk.data.length;
        if (total > maxBytes || chunks.length >= MAX_CHUNKS) throw outputLimit(maxBytes);
        // A copy, so that a small chunk does not keep the whole socket buffer it came in.
        chunks.push({ channel: chunk.channel, data: Buffer.from(chunk.data) });
      }
      return this.exited;
    };
    try {
      const exit = await abortable(read(), opts.signal, "The command");
      // It has ended: nobody has to wait until the guest has freed it.
      void this.#closeQuietly();
      const join = (channel: Channel): Buffer =>
        Buffer.concat(
          chunks.filter((chunk) => chunk.channel === channel).map((chunk) => chunk.data),
        );
      return { exit, stdout: join(Channel.stdout), stderr: join(Channel.stderr), chunks };
    } catch (error) {
      await this.#closeQuietly();
      throw error;
    }
  }

  /**
   * Kills what still runs of it and frees it in the guest; without a connection, the next one does. Idempotent.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const connection = this.#owner.connection();
    this.abandon(new MsbError("MSB_ERR_EXEC_NOT_FOUND", "This command was closed."));
    if (connection !== null) await this.#free(connection);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The program runs as `pid`. */
  started(pid: number): void {
    this.#pid = pid;
  }

  /**
   * Takes up the stream on a new connection (PROTOCOL.md, section 5, `exec.attach`). What was closed without a
   * connection is freed there.
   */
  async attach(connection: Connection): Promise<void> {
    // If that fails the others are taken up all the same.
    if (this.#closed) return this.#free(connection).catch(() => {});
    this.#input.pause();
    const outputOffset = this.#output.rewind();
    connection.addStream(this.stream, this);
    const reply = await connection.request(
      "exec.attach",
      { outputOffset },
      { stream: this.stream },
    );
    if (reply.int("outputOffset") !== outputOffset)
      throw protocolError("output offset after attach");
    this.#input.resume(reply.int("stdinOffset"));
  }

  /** The guest is gone for good: everything that waits fails. */
  abandon(error: MsbError): void {
    this.#output.fail(error);
    this.#input.fail(error);
    this.#rejectExited(error);
  }

  onData(frame: Frame): void {
    if (frame.channel === Channel.input) throw protocolError("input channel from the guest");
    this.#output.accept({ channel: frame.channel, data: frame.payload });
  }

  onCredit(consumed: number, limit: number): void {
    this.#input.grant(consumed, limit);
  }

  onDrain(): void {
    this.#input.flush();
  }

  onMessage(message: GuestMessage): void {
    if (message.kind === "exec.controlClosed") this.#closeControl();
    if (message.kind !== "exec.exited" || this.#exit !== undefined) return;
    this.#exit = message.exit;
    this.#output.finish();
    this.#input.fail(
      new MsbError(
        "MSB_ERR_EXEC_NOT_FOUND",
        "The program has ended; nothing can be written to it.",
      ),
    );
    this.#resolveExited(message.exit);
  }

  #closeControl(): void {
    if (this.#isControlClosed) return;
    this.#isControlClosed = true;
    for (const listener of this.#controlClosedListeners) listener();
  }

  /** What cannot be freed for want of a connection is freed by the next one. */
  async #closeQuietly(): Promise<void> {
    await this.close().catch(() => {});
  }

  async #free(connection: Connection): Promise<void> {
    connection.addStream(this.stream, this);
    try {
      await connection.request("exec.close", {}, { stream: this.stream });
    } finally {
      connection.removeStream(this.stream);
      // With the connection the request may have been lost.
      if (connection.isOpen) this.#owner.forget(this.stream);
    }
  }

  #connection(): Connection {
    const connection = this.#owner.connection();
    if (connection === null) {
      throw new MsbError(
        "MSB_ERR_AGENT_UNREACHABLE",
        "There is no connection to the guest agent now. Call reconnect() first.",
      );
    }
    return connection;
  }
}

function outputLimit(maxBytes: number): MsbError {
  return new MsbError(
    "MSB_ERR_OUTPUT_LIMIT",
    `The command wrote more than ${maxBytes} bytes, or ${MAX_CHUNKS} pieces, and was killed. ` +
      "Raise maxBytes, read output as a stream, or write to a file in the guest.",
    { details: { maxBytes } },
  );
}
