/** A server on loopback that a test lets answer as it likes. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export interface TestServer {
  /** `127.0.0.1:port` */
  readonly host: string;
  readonly url: string;
  readonly requests: IncomingMessage[];
  /** May be replaced at any time. */
  handler: Handler;
  readonly server: Server;
}

/** With `tls` it speaks HTTPS. */
export async function startHttpServer(
  handler: Handler,
  opts: { tls?: { key: string; cert: string } } = {},
): Promise<TestServer> {
  const requests: IncomingMessage[] = [];
  const onRequest: Handler = (request, response) => {
    requests.push(request);
    result.handler(request, response);
  };
  const server =
    opts.tls === undefined ? createServer(onRequest) : createTlsServer(opts.tls, onRequest);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const url = `${opts.tls === undefined ? "http" : "https"}://${host}`;
  const result: TestServer = { host, url, requests, handler, server };
  return result;
}
