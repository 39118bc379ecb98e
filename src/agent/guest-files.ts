/** Files of the guest: streams in both directions, and the usual operations. */
import { MsbError } from "../errors.js";
import { type AgentLink, type Connection, guestError, type StreamHandler } from "./connection.js";
import { Channel, type Frame, protocolError } from "./frame.js";
import { type FileInfo, type GuestMessage, parseFields, readFileInfo } from "./messages.js";
import { InboundFlow, OutboundFlow } from "./stream-flow.js";

/** The longest line of a listing: a name of 255 bytes, each escaped, and its numbers. */
const MAX_ENTRY_BYTES = 16_384;

export interface DirectoryEntry extends FileInfo {
  /** A guest string: see guest-string.ts for names that are not UTF-8. */
  readonly name: string;
}

export interface WriteFileOpts {
  /** Permission bits of a new file, default 0o644. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly signal?: AbortSignal;
}

export class GuestFiles {
  constructor(private readonly client: AgentLink) {}

  /**
   * The content as it comes; stops in the guest when the reader stops.
   * Throws MSB_ERR_FILE_NOT_FOUND or MSB_ERR_FILE_FAILED.
   */
  async *readStream(
    path: string,
    opts: { offset?: number; length?: number; signal?: AbortSignal } = {},
  ): AsyncGenerator<Buffer, void, void> {
    const { signal, ...range } = opts;
    yield* this.#download(
      (connection, request) => connection.request("file.read", { path, ...range }, request),
      signal,
    );
  }

  /** The whole content; over `maxBytes` (default 64 MiB) MSB_ERR_OUTPUT_LIMIT. */
  async read(
    path: string,
    opts: { maxBytes?: number; signal?: AbortSignal } = {},
  ): Promise<Buffer> {
    const maxBytes = opts.maxBytes ?? 64 * 1024 * 1024;
    const parts: Buffer[] = [];
    let total = 0;
    for await (const part of this.readStream(path, opts.signal ? { signal: opts.signal } : {})) {
      total += part.length;
      if (total > maxBytes) {
        throw new MsbError(
          "MSB_ERR_OUTPUT_LIMIT",
          `${path} is longer than ${maxBytes} bytes. Raise maxBytes or use readStream.`,
          { details: { path, maxBytes } },
        );
      }
      parts.push(Buffer.from(part));
    }
    return Buffer.concat(parts);
  }

  /** Replaces or makes a file; it is in place when this resolves, and unchanged when this throws. */
  async write(
    path: string,
    content: Uint8Array | string | AsyncIterable<Uint8Array>,
    opts: WriteFileOpts = {},
  ): Promise<void> {
    const { signal, ...fields } = opts;
    const connection = this.client.requireConnection();
    const stream = this.client.takeStream();
    const flow = new OutboundFlow(stream, (frame) => connection.sendData(frame));
    connection.addStream(stream, {
      onData: () => {
        throw protocolError("data for a file that is written");
      },
      onCredit: (consumed, limit) => flow.grant(consumed, limit),
      onMessage: () => {},
      onDrain: () => flow.flush(),
    });
    const written = connection.request(
      "file.write",
      { path, ...fields },
      { stream, ...(signal ? { signal } : {}) },
    );
    // An early refusal or a lost connection must end the feeding, too.
    written.catch((error: MsbError) => flow.fail(error));
    try {
      const feed = async (): Promise<void> => {
        for await (const part of typeof content === "string" || content instanceof Uint8Array
          ? [content]
          : content) {
          await flow.write(typeof part === "string" ? Buffer.from(part, "utf8") : part);
        }
        flow.end();
      };
      await feed();
      await written;
    } catch (error) {
      connection.sendEvent("stream.cancel", stream);
      throw error;
    } finally {
      connection.removeStream(stream);
    }
  }

  /** The entries of a directory, without `.` and `..`, in the order of the filesystem. */
  async *list(
    path: string,
    opts: { signal?: AbortSignal } = {},
  ): AsyncGenerator<DirectoryEntry, void, void> {
    let rest = Buffer.alloc(0);
    const chunks = this.#download(
      (connection, request) => connection.request("file.list", { path }, request),
      opts.signal,
    );
    for await (const chunk of chunks) {
      let text = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      for (let end = text.indexOf(0x0a); end >= 0; end = text.indexOf(0x0a)) {
        const fields = parseFields(text.subarray(0, end), "directory entry");
        yield { name: fields.string("name"), ...readFileInfo(fields) };
        text = text.subarray(end + 1);
      }
      if (text.length > MAX_ENTRY_BYTES) throw protocolError("directory entry too long");
      rest = Buffer.from(text);
    }
  }

  async stat(
    path: string,
    opts: { follow?: boolean; signal?: AbortSignal } = {},
  ): Promise<FileInfo> {
    const { signal, ...fields } = opts;
    const request = signal ? { signal } : {};
    return readFileInfo(
      await this.client.requireConnection().request("file.stat", { path, ...fields }, request),
    );
  }

  async mkdir(path: string, opts: { mode?: number; recursive?: boolean } = {}): Promise<void> {
    await this.client.requireConnection().request("file.mkdir", { path, ...opts });
  }

  async remove(path: string, opts: { recursive?: boolean } = {}): Promise<void> {
    await this.client.requireConnection().request("file.remove", { path, ...opts });
  }

  async rename(from: string, to: string): Promise<void> {
    await this.client.requireConnection().request("file.rename", { from, to });
  }

  /** Bytes that the guest sends on a stream of their own. */
  async *#download(
    ask: (
      connection: Connection,
      request: { stream: number; signal?: AbortSignal },
    ) => Promise<unknown>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Buffer, void, void> {
    const connection = this.client.requireConnection();
    const stream = this.client.takeStream();
    const flow = new InboundFlow((consumed, limit) =>
      connection.sendCredit(stream, consumed, limit),
    );
    const handler: StreamHandler = {
      onData: (frame: Frame) => {
        if (frame.channel !== Channel.input) throw protocolError("output channel of a file");
        flow.accept({ channel: frame.channel, data: frame.payload });
        if (frame.end) flow.finish();
      },
      onCredit: () => {},
      onMessage: (message: GuestMessage) => {
        if (message.kind === "stream.error") flow.fail(guestError("stream", message.error));
      },
      onDrain: () => {},
    };
    connection.addStream(stream, handler);
    const unsubscribe = this.client.onDisconnect((error) => flow.fail(error));
    const onAbort = (): void =>
      flow.fail(
        new MsbError("MSB_ERR_ABORTED", "The transfer was aborted.", { cause: signal?.reason }),
      );
    signal?.addEventListener("abort", onAbort, { once: true });
    let isWhole = false;
    try {
      await ask(connection, { stream, ...(signal ? { signal } : {}) });
      for await (const chunk of flow) yield chunk.data;
      isWhole = true;
    } finally {
      if (!isWhole) connection.sendEvent("stream.cancel", stream);
      signal?.removeEventListener("abort", onAbort);
      unsubscribe();
      connection.removeStream(stream);
    }
  }
}
