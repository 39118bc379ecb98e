/** A client of QEMU's machine protocol (QMP): one JSON object a line, over a socket. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { messageOf, MsbError } from "../errors.js";
import { abortable, type Deferred, deferred } from "../util/async.js";

/** What is aborted. */
const WORK = "The talk with QEMU";

export type MonitorArguments = Readonly<Record<string, unknown>>;

/** What QEMU tells unasked, such as `MIGRATION` with `{"status":"completed"}`. */
export interface MonitorEvent {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/**
 * One command at a time. For VMs that ran no code of a user: their QEMU is trusted to end its lines.
 */
export class QemuMonitor implements Disposable {
  readonly #socket: Socket;
  readonly #closed = deferred<never>();
  #reply: Deferred<unknown> | undefined;
  #onEvent: (event: MonitorEvent) => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#closed.promise.catch(() => {});
    socket.on("error", () => {});
    socket.on("close", () => this.#closed.reject(failed("closed the connection")));
    // It emits the socket's errors once more.
    createInterface({ input: socket })
      .on("line", (line) => this.#take(line))
      .on("error", () => {});
  }

  /** Resolves when commands can be given. Throws MSB_ERR_SNAPSHOT_FAILED, MSB_ERR_ABORTED. */
  static async connect(path: string, signal: AbortSignal): Promise<QemuMonitor> {
    const socket = connect(path);
    try {
      await abortable(once(socket, "connect"), signal, WORK);
      const monitor = new QemuMonitor(socket);
      await monitor.execute("qmp_capabilities", {}, signal);
      return monitor;
    } catch (error) {
      socket.destroy();
      if (error instanceof MsbError) throw error;
      throw failed(`cannot be reached: ${messageOf(error)}`, error);
    }
  }

  /** What QEMU returns. Throws MSB_ERR_SNAPSHOT_FAILED with what it says instead, MSB_ERR_ABORTED. */
  async execute(command: string, args: MonitorArguments, signal: AbortSignal): Promise<unknown> {
    const reply = deferred<unknown>();
    this.#reply = reply;
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    return this.#whileOpen(reply.promise, signal);
  }

  /** The first event that `isIt` is true for, from now on. */
  async event(isIt: (event: MonitorEvent) => boolean, signal: AbortSignal): Promise<MonitorEvent> {
    const found = deferred<MonitorEvent>();
    this.#onEvent = (event) => {
      if (isIt(event)) found.resolve(event);
    };
    return this.#whileOpen(found.promise, signal);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #whileOpen<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
    return abortable(Promise.race([work, this.#closed.promise]), signal, WORK);
  }

  #take(line: string): void {
    const message = parse(line);
    if (message === undefined) return;
    if ("return" in message) this.#reply?.resolve(message["return"]);
    else if ("error" in message) {
      const { desc } = (message["error"] ?? {}) as { desc?: unknown };
      this.#reply?.reject(failed(`said: ${String(desc)}`));
    } else if (typeof message["event"] === "string") {
      const data = (message["data"] ?? {}) as MonitorEvent["data"];
      this.#onEvent({ name: message["event"], data });
    }
  }
}

/** Undefined for what is no message. */
function parse(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const message: unknown = JSON.parse(line);
    if (typeof message !== "object" || message === null) return undefined;
    return message as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function failed(why: string, cause?: unknown): MsbError {
  return new MsbError("MSB_ERR_SNAPSHOT_FAILED", `QEMU's monitor ${why}.`, { cause });
}
