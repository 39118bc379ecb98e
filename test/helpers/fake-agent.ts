/**
 * A guest agent in memory, on a unix socket: speaks PROTOCOL.md from the guest's side as far as the
 * host's tests need it, and misbehaves on demand.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  Channel,
  encodeCredit,
  encodeFrame,
  type Frame,
  FrameDecoder,
  FrameType,
} from "../../src/agent/frame.js";

const MAGIC = Buffer.from("\0\0\0\0msb-sync\r\n\x1a\n", "latin1");

export interface FakeRequest {
  readonly id: number;
  readonly type: string;
  readonly stream: number;
  readonly fields: Record<string, unknown>;
}

type Responder = (request: FakeRequest, agent: FakeAgent) => Record<string, unknown> | undefined;

export class FakeAgent {
  readonly requests: FakeRequest[] = [];
  /** Data and credit frames from the host. */
  readonly frames: Frame[] = [];
  readonly #responders = new Map<string, Responder>([
    ["hello", () => this.hello],
    ["core.ping", ({ fields }) => ({ data: fields["data"] })],
  ]);
  #socket: Socket | undefined;
  /** Zero bytes that came before the first frame of the present connection. */
  paddingBytes = 0;
  hello: Record<string, unknown> = {
    generation: 3,
    agentVersion: "fake",
    state: "new",
    uptimeMs: 1,
    nextStream: 1,
    execs: [],
  };
  /** Told of each data and credit frame from the host. */
  onFrame: (frame: Frame) => void = () => {};
  /** Sent before the preamble, as left over from an earlier connection. */
  stale = Buffer.alloc(0);

  private constructor(
    private readonly server: Server,
    readonly socketPath: string,
    private readonly dir: string,
  ) {
    server.on("connection", (socket) => this.#serve(socket));
  }

  static async start(): Promise<FakeAgent> {
    const dir = await mkdtemp(join(tmpdir(), "msb-fake-agent-"));
    const socketPath = join(dir, "agent.sock");
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    return new FakeAgent(server, socketPath, dir);
  }

  /** Answers requests of `type` with the fields that `responder` returns; undefined answers nothing. */
  on(type: string, responder: Responder): void {
    this.#responders.set(type, responder);
  }

  send(stream: number, message: Record<string, unknown>): void {
    this.raw(encodeFrame(FrameType.control, stream, Buffer.from(JSON.stringify(message))));
  }

  output(
    stream: number,
    data: Buffer | string,
    opts: { channel?: Channel; end?: boolean } = {},
  ): void {
    this.raw(
      encodeFrame(FrameType.data, stream, Buffer.from(data as string), {
        channel: Channel.stdout,
        ...opts,
      }),
    );
  }

  credit(stream: number, consumed: number, limit: number): void {
    this.raw(encodeCredit(stream, consumed, limit));
  }

  raw(bytes: Buffer): void {
    this.#socket?.write(bytes);
  }

  dropConnection(): void {
    this.#socket?.destroy();
  }

  async stop(): Promise<void> {
    this.#socket?.destroy();
    await new Promise((resolve) => this.server.close(resolve));
    await rm(this.dir, { recursive: true, force: true });
  }

  #serve(socket: Socket): void {
    this.#socket?.destroy();
    this.#socket = socket;
    const decoder = new FrameDecoder();
    let isFirst = true;
    this.paddingBytes = 0;
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      if (isFirst) {
        const start = chunk.findIndex((byte) => byte !== 0);
        this.paddingBytes += start < 0 ? chunk.length : start;
        isFirst = start < 0;
      }
      decoder.push(chunk, (frame) => this.#take(frame));
    });
  }

  #take(frame: Frame): void {
    if (frame.type !== FrameType.control) {
      const copy = { ...frame, payload: Buffer.from(frame.payload) };
      this.frames.push(copy);
      this.onFrame(copy);
      return;
    }
    const { id, type, ...fields } = JSON.parse(frame.payload.toString()) as Record<string, unknown>;
    const request = { id: id as number, type: type as string, stream: frame.stream, fields };
    this.requests.push(request);
    if (type === "hello") {
      this.raw(Buffer.concat([this.stale, MAGIC, Buffer.from(fields["session"] as string, "hex")]));
    }
    const responder = this.#responders.get(type as string) ?? (() => ({}));
    const reply = responder(request, this);
    if (reply !== undefined && id !== undefined)
      this.send(frame.stream, { id, type: "ok", ...reply });
  }
}
