/** The guest's console as its supervisor hands it out: the last 64 KiB at once, then what comes. */
import { connect, type Socket } from "node:net";
import { deferred, settlesWithin } from "../util/async.js";
import { RingBuffer } from "../util/ring-buffer.js";

const CONSOLE_TAIL_BYTES = 65_536;
/** How long the console may take to deliver its last bytes after the VM has gone. */
const DRAIN_MS = 1_000;

export class ConsoleFollower {
  readonly #socket: Socket;
  readonly #tail = new RingBuffer(CONSOLE_TAIL_BYTES);
  readonly #ended = deferred<void>();
  readonly #listeners = new Set<(bytes: Buffer) => void>();

  constructor(socketPath: string) {
    this.#socket = connect({ path: socketPath });
    this.#socket.on("data", (chunk: Buffer) => {
      this.#tail.push(chunk);
      for (const listener of this.#listeners) listener(chunk);
    });
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => this.#ended.resolve());
  }

  tail(): string {
    return this.#tail.toString();
  }

  /** Returns the function that removes `listener`. */
  onData(listener: (bytes: Buffer) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** For when the VM is gone: takes its last bytes, within a bounded time. */
  async drain(): Promise<void> {
    if (!(await settlesWithin(this.#ended.promise, DRAIN_MS))) this.close();
  }

  close(): void {
    this.#socket.destroy();
  }
}
