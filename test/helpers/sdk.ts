/** Clients of servers on loopback, for tests of the SDK. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { MsbError } from "../../src/errors.js";
import { type FakeSandboxes } from "./fake-sandboxes.js";
import { startHttpServer, type TestServer } from "./http-server.js";
import { listeningApp, type TestAppOpts } from "./test-app.js";

export const KEY = { namespace: "default", name: "box" };

export interface SdkApp {
  readonly serverUrl: string;
  readonly sandboxes: FakeSandboxes;
}

/** The real application on sandboxes in memory. */
export async function sdkApp(opts: TestAppOpts = {}): Promise<SdkApp> {
  const { port, sandboxes } = await listeningApp(opts);
  return { serverUrl: `http://127.0.0.1:${port}`, sandboxes };
}

/** What was asked of the sandboxes, without signals and callbacks. */
export function callsOf({ sandboxes }: SdkApp): unknown[][] {
  return sandboxes.calls.map(({ method, args }) => [method, ...args.map(plain)]);
}

function plain(value: unknown): unknown {
  const text = JSON.stringify(value, (name, one) => (name === "signal" ? undefined : one));
  return text === undefined ? undefined : JSON.parse(text);
}

/** A server that answers everything the same way. */
export function badServer(
  answer: (response: ServerResponse, request: IncomingMessage) => void,
): Promise<TestServer> {
  return startHttpServer((request, response) => answer(response, request));
}

/** Sends server-sent events and leaves the answer open. */
export function writeEvents(response: ServerResponse, ...records: unknown[]): void {
  if (!response.headersSent) response.writeHead(200, { "content-type": "text/event-stream" });
  for (const record of records) response.write(`event: x\ndata: ${JSON.stringify(record)}\n\n`);
}

/** What a call that must fail throws. */
export async function errorOf(call: Promise<unknown> | (() => unknown)): Promise<MsbError> {
  let result: unknown;
  try {
    result = await (typeof call === "function" ? call() : call);
  } catch (error) {
    if (error instanceof MsbError) return error;
    throw error;
  }
  throw new Error(`it did not fail: ${JSON.stringify(result)}`);
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
