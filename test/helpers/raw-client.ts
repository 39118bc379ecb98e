/** A connection that sends what a test wants, byte by byte, also what no client would. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { onTestFinished } from "vitest";

export interface RawClient {
  readonly socket: Socket;
  /** All that came so far. */
  received(): string;
  /** Resolves when the text has come. */
  until(text: string | RegExp, timeoutMs?: number): Promise<string>;
  /** When the connection is gone, and with what. */
  readonly closed: Promise<string>;
}

/** Destroyed after the test. */
export async function rawClient(port: number, first = ""): Promise<RawClient> {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  // A reset is an end like any other here.
  socket.on("error", () => {});
  const closed = new Promise<string>((resolve) => {
    const onEnd = (): void => resolve(text);
    socket.on("end", onEnd).on("close", onEnd);
  });
  await once(socket, "connect");
  if (first !== "") socket.write(first);
  return {
    socket,
    closed,
    received: () => text,
    async until(wanted, timeoutMs = 20_000) {
      const deadline = Date.now() + timeoutMs;
      const isThere = (): boolean =>
        typeof wanted === "string" ? text.includes(wanted) : wanted.test(text);
      while (!isThere()) {
        if (Date.now() > deadline) throw new Error(`${wanted} did not come, but: ${text}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return text;
    },
  };
}

/** A request with its body, as text. */
export function rawRequest(
  method: string,
  path: string,
  opts: { readonly headers?: Record<string, string>; readonly body?: string } = {},
): string {
  const { headers = {}, body } = opts;
  const all: Record<string, string> = {
    host: "127.0.0.1",
    ...(body === undefined
      ? {}
      : { "content-type": "application/json", "content-length": `${Buffer.byteLength(body)}` }),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n${body ?? ""}`;
}
