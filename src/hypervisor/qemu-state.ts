/** What a QEMU that is saved writes of its devices. */
import { createServer } from "node:net";

/** Measured: below 100 KiB. */
const MAX_STATE_BYTES = 16 * 1024 ** 2;

/** Takes what one QEMU writes. */
export class StateReceiver implements Disposable {
  readonly listening: Promise<void>;
  readonly state: Promise<Buffer>;
  readonly #server = createServer();

  constructor(path: string) {
    this.listening = new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(path, resolve);
    });
    this.state = new Promise((resolve, reject) => {
      this.#server.once("connection", (socket) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        socket.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_STATE_BYTES) socket.destroy(new Error("its state is too large"));
          else chunks.push(chunk);
        });
        socket.on("end", () => resolve(Buffer.concat(chunks)));
        socket.on("error", reject);
      });
    });
    this.state.catch(() => {});
  }

  [Symbol.dispose](): void {
    this.#server.close();
  }
}
