/** Connections without a network: every exchange is written down beforehand. */
import { MockAgent } from "undici";
import { onTestFinished } from "vitest";
import type { Connections } from "../../src/oci/registry/dispatcher.js";

export interface Answer {
  readonly status?: number;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string | Buffer;
}

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface MockConnections {
  readonly connections: Connections;
  readonly seen: SeenRequest[];
  /** The next answer to `method` of `url`; answers of one URL are used up in their order. */
  answer(url: string, answer: Answer, method?: "GET" | "POST"): void;
}

export function mockConnections(): MockConnections {
  const agent = new MockAgent();
  agent.disableNetConnect();
  onTestFinished(() => agent.close());
  const seen: SeenRequest[] = [];
  return {
    connections: { dispatcherFor: () => agent, destroy: () => Promise.resolve() },
    seen,
    answer: (url, { status = 200, headers = {}, body = "" }, method = "GET") => {
      const { origin, pathname, search } = new URL(url);
      agent
        .get(origin)
        .intercept({ path: pathname + search, method })
        .reply((request) => {
          seen.push({
            method,
            url,
            headers: request.headers as Record<string, string>,
            body: typeof request.body === "string" ? request.body : "",
          });
          return { statusCode: status, data: body, responseOptions: { headers } };
        });
    },
  };
}
