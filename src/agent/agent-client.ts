/** The host's handle to one guest agent: handshake, execs, files, metrics, reconnect. */
import { isMsbError, MsbError } from "../errors.js";
import { type AgentLink, Connection, guestError, unreachable } from "./connection.js";
import { type ExecOwner, ExecSession } from "./exec-session.js";
import { GuestFiles } from "./guest-files.js";
import {
  type GuestMetrics,
  type HelloReply,
  type HostRequests,
  PROTOCOL_GENERATION,
  readHelloReply,
  readMetrics,
  readSetupTimings,
  type SetupTiming,
} from "./messages.js";

export interface AgentConnectOpts {
  /** The boot's nonce, 32 hex digits; the same for every connection to one VM. */
  readonly nonce: string;
  /**
   * May an earlier connection have ended within a frame? Not where there was none, nor where the last one was closed
   * when nothing was under way to the guest. Default true.
   */
  readonly mayBeCutShort?: boolean;
  /**
   * Makes a guest that is ready one of its own, in the same round trip. From then on connections need the new nonce.
   */
  readonly resume?: GuestResume;
  /** Bounds connecting and the handshake. */
  readonly signal?: AbortSignal;
  /** Replaced by tests only. */
  readonly generation?: number;
}

/**
 * What is absent means: root, in `/`, no environment, stdin from /dev/null, no control channel, no pty, no timeout.
 * With `control` the program has a socket as file descriptor 3, and MSB_CONTROL_FD=3 in its environment.
 */
export type ExecOpts = Omit<HostRequests["exec.start"], "argv"> & { readonly signal?: AbortSignal };
export type GuestSetup = HostRequests["core.setup"];
export type GuestResume = HostRequests["core.resume"];

export class AgentClient implements AgentLink, ExecOwner, AsyncDisposable {
  readonly files: GuestFiles;
  #connection: Connection | null = null;
  #hello!: HelloReply;
  #nextStream = 1;
  #closeError: MsbError | undefined;
  #reconnecting: Promise<void> | undefined;
  #isConnectionWanted = true;
  readonly #execs = new Map<number, ExecSession>();
  readonly #disconnectListeners = new Set<(error: MsbError) => void>();

  private constructor(
    private readonly socketPath: string,
    private nonce: string,
    private readonly generation: number,
  ) {
    this.files = new GuestFiles(this);
  }

  /**
   * Connects and says hello; resolves when the agent has answered.
   * Throws MSB_ERR_AGENT_UNREACHABLE, MSB_ERR_GENERATION, MSB_ERR_PROTOCOL, MSB_ERR_REQUEST_TIMEOUT.
   */
  static async connect(socketPath: string, opts: AgentConnectOpts): Promise<AgentClient> {
    const client = new AgentClient(socketPath, opts.nonce, opts.generation ?? PROTOCOL_GENERATION);
    await client.#open(opts);
    return client;
  }

  /** What the agent said when this client connected last. */
  get hello(): HelloReply {
    return this.#hello;
  }

  get isConnected(): boolean {
    return this.#connection !== null;
  }

  /** False after `disconnect` until `reconnect`, and after `close`: a loss was not asked for otherwise. */
  get isConnectionWanted(): boolean {
    return this.#isConnectionWanted;
  }

  connection(): Connection | null {
    return this.#connection;
  }

  requireConnection(): Connection {
    if (this.#closeError !== undefined) throw this.#closeError;
    if (this.#connection === null) throw unreachable("the connection was lost; call reconnect()");
    return this.#connection;
  }

  forget(stream: number): void {
    this.#execs.delete(stream);
  }

  takeStream(): number {
    return this.#nextStream++;
  }

  onDisconnect(listener: (error: MsbError) => void): () => void {
    this.#disconnectListeners.add(listener);
    return () => this.#disconnectListeners.delete(listener);
  }

  /** Makes the guest ready: root filesystem, devices, hostname, clock, entropy. Once a boot. */
  async setup(setup: GuestSetup, opts: { signal?: AbortSignal } = {}): Promise<SetupTiming[]> {
    return readSetupTimings(await this.requireConnection().request("core.setup", setup, opts));
  }

  /** A round trip through the agent. */
  async ping(data = "", opts: { signal?: AbortSignal } = {}): Promise<string> {
    return (await this.requireConnection().request("core.ping", { data }, opts)).string("data");
  }

  async setClock(date: Date = new Date()): Promise<void> {
    await this.requireConnection().request("core.time", { clockMs: date.getTime() });
  }

  async metrics(opts: { signal?: AbortSignal } = {}): Promise<GuestMetrics> {
    return readMetrics(await this.requireConnection().request("core.metrics", {}, opts));
  }

  /** Asks the guest to stop; resolves when it has agreed, before it is gone. */
  async shutdown(opts: { graceMs?: number; signal?: AbortSignal } = {}): Promise<void> {
    const { signal, ...fields } = opts;
    await this.requireConnection().request("core.shutdown", fields, signal ? { signal } : {});
  }

  /**
   * Starts a program; resolves when it runs. Read its output or close it.
   * Throws MSB_ERR_EXEC_FAILED (details: operation, errno) when it cannot be started.
   */
  async exec(argv: readonly string[], opts: ExecOpts = {}): Promise<ExecSession> {
    const { signal, ...fields } = opts;
    const connection = this.requireConnection();
    const session = new ExecSession(this.takeStream(), this);
    const request = { stream: session.stream, ...(signal ? { signal } : {}) };
    connection.addStream(session.stream, session);
    this.#execs.set(session.stream, session);
    try {
      const reply = await connection.request("exec.start", { argv, ...fields }, request);
      session.started(reply.int("pid", { min: 1, max: 0x7fff_ffff }));
      return session;
    } catch (error) {
      // After an abort, or a loss, the guest may have started it all the same.
      if (isMsbError(error, "MSB_ERR_EXEC_FAILED")) this.forget(session.stream);
      else session.close().catch(() => {});
      connection.removeStream(session.stream);
      throw error;
    }
  }

  /**
   * Takes over an exec that an earlier client started (see `hello.execs`). Its kept output comes again. When that
   * fails it is closed: nobody would own it.
   */
  async adopt(stream: number): Promise<ExecSession> {
    const known = this.#hello.execs.find((exec) => exec.stream === stream);
    if (known === undefined) {
      throw new MsbError(
        "MSB_ERR_EXEC_NOT_FOUND",
        `There is no command on stream ${stream} in this guest.`,
      );
    }
    const session = new ExecSession(stream, this, known);
    this.#execs.set(stream, session);
    try {
      await session.attach(this.requireConnection());
      return session;
    } catch (error) {
      session.close().catch(() => {});
      throw error;
    }
  }

  /** Connects again after a loss; running commands go on where they were. Calls share one attempt. */
  async reconnect(opts: { signal?: AbortSignal } = {}): Promise<void> {
    if (this.#connection !== null) return;
    if (this.#closeError !== undefined) throw this.#closeError;
    this.#isConnectionWanted = true;
    this.#reconnecting ??= this.#reattach(opts.signal).finally(
      () => (this.#reconnecting = undefined),
    );
    await this.#reconnecting;
  }

  /** Drops the connection; what runs in the guest goes on. */
  disconnect(): void {
    this.#isConnectionWanted = false;
    this.#connection?.close(unreachable("this client disconnected"));
  }

  /** Ends this client for good: pending calls and execs fail with `error`. The guest is not asked anything. */
  close(error: MsbError = unreachable("this client was closed")): void {
    if (this.#closeError !== undefined) return;
    this.#closeError = error;
    this.#isConnectionWanted = false;
    this.#connection?.close(error);
    for (const session of this.#execs.values()) session.abandon(error);
    this.#execs.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async #reattach(signal: AbortSignal | undefined): Promise<void> {
    await this.#open(signal ? { signal } : {});
    const connection = this.requireConnection();
    const known = new Set(this.#hello.execs.map((exec) => exec.stream));
    await Promise.all(
      [...this.#execs.values()].map(async (session) => {
        if (known.has(session.stream)) return session.attach(connection);
        session.abandon(
          guestError("exec.attach", { code: "not-found", message: "The command is gone" }),
        );
        this.forget(session.stream);
      }),
    );
  }

  async #open(opts: Pick<AgentConnectOpts, "mayBeCutShort" | "resume" | "signal">): Promise<void> {
    const { mayBeCutShort = true, resume, signal } = opts;
    const how = signal ? { signal } : {};
    const connection = await Connection.open(this.socketPath, {
      mayBeCutShort,
      ...how,
      onClose: (error) => this.#disconnected(connection, error),
    });
    try {
      const fields = {
        generation: this.generation,
        session: connection.session,
        nonce: this.nonce,
      };
      const greeting = connection.request("hello", fields, how);
      // Without waiting: a guest that refuses the hello drops what comes after it.
      const resuming = resume && connection.request("core.resume", resume, how);
      resuming?.catch(() => {});
      const reply = await greeting;
      if (reply.int("generation") !== this.generation) {
        throw guestError("hello", {
          code: "generation",
          message: "generation",
          generation: reply.int("generation"),
        });
      }
      this.#hello = readHelloReply(reply);
      await resuming;
      if (resume !== undefined) this.nonce = resume.nonce;
      // Closed meanwhile: nobody would ever close this connection.
      if (this.#closeError !== undefined) throw this.#closeError;
    } catch (error) {
      connection.close(
        error instanceof MsbError ? error : unreachable("the handshake failed", error),
      );
      throw error;
    }
    this.#nextStream = Math.max(this.#nextStream, this.#hello.nextStream);
    this.#connection = connection;
  }

  #disconnected(connection: Connection, error: MsbError): void {
    if (this.#connection !== connection) return;
    this.#connection = null;
    for (const listener of this.#disconnectListeners) listener(error);
  }
}
