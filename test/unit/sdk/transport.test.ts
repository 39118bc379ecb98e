import { createServer } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { RunRecord } from "../../../src/api/code.js";
import { MsbClient } from "../../../src/sdk/client.js";
import { clientSettings } from "../../../src/sdk/client-settings.js";
import { Transport } from "../../../src/sdk/transport.js";
import { deferred } from "../../../src/util/async.js";
import { badServer, collect, errorOf, KEY, writeEvents } from "../../helpers/sdk.js";

const RUN = { language: "python", code: "1" } as const;
const END = {
  type: "end",
  status: "success",
  reason: "completed",
  durationMs: 1,
  stateLost: false,
};
const JSON_TYPE = { "content-type": "application/json; charset=utf-8" };
/** As much of an answer as is looked at. */
const INFO = JSON.stringify({ limits: {} });
const MIB = 1024 ** 2;

const clientOf = ({ url }: { url: string }, apiKey?: string): MsbClient =>
  new MsbClient({ serverUrl: url, apiKey });

describe("answers of what is no server of ours", () => {
  it("is told from one when it is a page", async () => {
    const server = await badServer((response) =>
      response.writeHead(200, { "content-type": "text/html" }).end("<html></html>"),
    );
    for (const call of [
      clientOf(server).info(),
      collect(clientOf(server).runCode(KEY, RUN)),
      clientOf(server).stopSandbox(KEY),
    ]) {
      const error = await errorOf(call);
      expect(error).toMatchObject({
        name: "ConnectionError",
        code: "MSB_ERR_SERVER_INCOMPATIBLE",
        details: { serverUrl: server.url },
      });
      expect(error.message).toContain("text/html");
    }
  });

  it("is told from one when its JSON says something else", async () => {
    for (const body of ['{"hello":"world"}', "[]", "null", '"text"']) {
      const server = await badServer((response) => response.writeHead(200, JSON_TYPE).end(body));
      const client = clientOf(server);
      const calls: Promise<unknown>[] = [
        client.info(),
        collect(client.listSandboxes()),
        client.getSandbox(KEY),
        client.stopSandbox(KEY),
        client.metrics(KEY),
        client.contexts(KEY),
        client.createContext(KEY, { language: "python" }),
        client.restartContext(KEY, "python"),
        client.interruptContext(KEY, "python"),
        client.images(),
        client.image("x"),
        client.removeImage("x"),
        ...(body === "[]" ? [] : [collect(client.logs(KEY))]),
      ];
      for (const error of await Promise.all(calls.map(errorOf))) {
        expect(error.code).toBe("MSB_ERR_SERVER_INCOMPATIBLE");
        expect(error.message).toContain("it answers with JSON that says something else.");
      }
    }
  });

  it("is told from one when it knows no such address, as servers of the old time", async () => {
    const server = await badServer((response) => response.writeHead(404).end());
    const error = await errorOf(clientOf(server).getSandbox(KEY));
    expect(error).toMatchObject({
      code: "MSB_ERR_SERVER_INCOMPATIBLE",
      details: { status: 404, path: "/api/v1/sandboxes/default/box" },
    });
    expect(error.message).toContain("microsandbox 0.2");
  });

  it.each([
    [401, JSON.stringify({ error: "Invalid credentials", code: 1001 })],
    [400, JSON.stringify({ statusCode: 400, error: "Bad Request", message: "Client Error" })],
    [500, JSON.stringify(["MSB_ERR_INTERNAL"])],
    [500, "{"],
    [403, "null"],
  ])("is told from one when its errors have another form: %s %s", async (status, body) => {
    const server = await badServer((response) => response.writeHead(status, JSON_TYPE).end(body));
    const error = await errorOf(clientOf(server).info());
    expect(error).toMatchObject({ code: "MSB_ERR_SERVER_INCOMPATIBLE", details: { status } });
  });

  it.each([502, 503, 504])("is a proxy whose server is away: %s", async (status) => {
    const server = await badServer((response) => response.writeHead(status).end("<html>"));
    const error = await errorOf(clientOf(server).info());
    expect(error).toMatchObject({ code: "MSB_ERR_SERVER_UNREACHABLE", details: { status } });
  });

  it("sends nobody and no key anywhere else", async () => {
    const other = await badServer((response) => response.writeHead(200, JSON_TYPE).end(INFO));
    const server = await badServer((response) =>
      response.writeHead(307, { location: `${other.url}/api/v1/info` }).end(),
    );
    const error = await errorOf(clientOf(server, "msb_secret").info());
    expect(error.code).toBe("MSB_ERR_SERVER_INCOMPATIBLE");
    expect(error.message).toContain(other.url);
    expect(other.requests).toEqual([]);
  });

  it.each(["", "{", "<html>"])("says %j where a document should be", async (body) => {
    const server = await badServer((response) => response.writeHead(200, JSON_TYPE).end(body));
    expect((await errorOf(clientOf(server).info())).code).toBe("MSB_ERR_SERVER_INCOMPATIBLE");
  });

  it.each(["data: {\n\n", "data: 7\n\n", 'data: {"kind":"x"}\n\n'])(
    "says %j where a record should be",
    async (text) => {
      const server = await badServer((response) =>
        response.writeHead(200, { "content-type": "text/event-stream" }).end(text),
      );
      const error = await errorOf(collect(clientOf(server).runCode(KEY, RUN)));
      expect(error.code).toBe("MSB_ERR_SERVER_INCOMPATIBLE");
    },
  );
});

describe("the server's own errors", () => {
  const body = {
    statusCode: 429,
    code: "MSB_ERR_TOO_MANY_SANDBOXES",
    error: "Too Many Requests",
    message: "No more.",
    details: { limit: 3 },
    requestId: "req-9",
  };

  it("keep their code, text and facts", async () => {
    const headers = { ...JSON_TYPE, "x-request-id": "req-9", "retry-after": "7" };
    const server = await badServer((response) =>
      response.writeHead(429, headers).end(JSON.stringify(body)),
    );
    expect(await errorOf(clientOf(server).info())).toMatchObject({
      name: "LimitError",
      code: "MSB_ERR_TOO_MANY_SANDBOXES",
      message: "No more.",
      retryable: true,
      details: { limit: 3, requestId: "req-9", retryAfterSeconds: 7 },
    });
  });

  it("of a code that is not known are internal ones that tell it", async () => {
    const server = await badServer((response) =>
      response.writeHead(418, JSON_TYPE).end(JSON.stringify({ ...body, code: "MSB_ERR_NEW" })),
    );
    expect(await errorOf(clientOf(server).info())).toMatchObject({
      name: "ServerError",
      code: "MSB_ERR_INTERNAL",
      details: { limit: 3, code: "MSB_ERR_NEW" },
    });
  });

  it("are thrown when they are the last record of a stream", async () => {
    const failure = { type: "failure", error: { ...body, code: "MSB_ERR_VM_EXITED" } };
    const server = await badServer((response) => {
      response.writeHead(200, { "content-type": "text/event-stream", "x-request-id": "req-9" });
      response.write('event: stdout\ndata: {"type":"stdout","text":"a"}\n\n');
      response.end(`event: failure\ndata: ${JSON.stringify(failure)}\n\n`);
    });
    const seen: unknown[] = [];
    const error = await errorOf(async () => {
      for await (const record of clientOf(server).runCode(KEY, RUN)) seen.push(record);
    });
    expect(seen).toEqual([{ type: "stdout", text: "a" }]);
    expect(error).toMatchObject({
      code: "MSB_ERR_VM_EXITED",
      details: { limit: 3, requestId: "req-9" },
    });
  });

  it("are not read without an end", async () => {
    const server = await badServer((response) => {
      response.writeHead(500, JSON_TYPE);
      const more = (): void => {
        while (response.writable && response.write(" ".repeat(MIB)));
        response.once("drain", more);
      };
      more();
    });
    expect((await errorOf(clientOf(server).info())).code).toBe("MSB_ERR_SERVER_INCOMPATIBLE");
  });
});

describe("answers without an end to their size", () => {
  it("are refused when they are documents", async () => {
    const server = await badServer((response) => {
      response.writeHead(200, JSON_TYPE);
      endless(response);
    });
    const error = await errorOf(clientOf(server).info());
    expect(error).toMatchObject({
      code: "MSB_ERR_SERVER_INCOMPATIBLE",
      details: { maxBytes: 64 * MIB },
    });
  });

  it("are refused when they are one record", async () => {
    const server = await badServer((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).write("data: ");
      endless(response);
    });
    const error = await errorOf(collect(clientOf(server).runCode(KEY, RUN)));
    expect(error).toMatchObject({
      code: "MSB_ERR_SERVER_INCOMPATIBLE",
      details: { maxBytes: 64 * MIB },
    });
  });

  function endless(response: Parameters<Parameters<typeof badServer>[0]>[0]): void {
    const more = (): void => {
      while (response.writable && response.write("x".repeat(MIB)));
      response.once("drain", more);
    };
    more();
  }
});

describe("connections", () => {
  const apart: (() => void)[] = [];
  afterEach(() => apart.splice(0).forEach((close) => close()));

  it("that nobody takes say how a server is started", async () => {
    const server = await badServer(() => {});
    await new Promise((resolve) => server.server.close(resolve));
    const error = await errorOf(clientOf(server).health());
    expect(error).toMatchObject({
      name: "ConnectionError",
      code: "MSB_ERR_SERVER_UNREACHABLE",
      details: { serverUrl: server.url, reason: "ECONNREFUSED" },
    });
    expect(error.message).toContain(`No server listens at ${server.url}.`);
    expect(error.message).toContain("`msb-ts server start`");
  });

  it("to names that nobody has are told from that", async () => {
    const client = new MsbClient({ serverUrl: "http://no-such-host.invalid:5555" });
    const error = await errorOf(client.health());
    expect(error.code).toBe("MSB_ERR_SERVER_UNREACHABLE");
    expect(error.message).toContain("no-such-host.invalid");
  });

  it("that are reset are lost", async () => {
    const tcp = createServer((socket) => socket.once("data", () => socket.resetAndDestroy()));
    await new Promise<void>((resolve) => tcp.listen(0, "127.0.0.1", resolve));
    apart.push(() => tcp.close());
    const { port } = tcp.address() as { port: number };
    const client = new MsbClient({ serverUrl: `http://127.0.0.1:${port}` });
    expect((await errorOf(client.health())).code).toBe("MSB_ERR_SERVER_UNREACHABLE");
  });

  it("that do not speak HTTP are lost", async () => {
    const tcp = createServer((socket) => socket.end("SSH-2.0-OpenSSH_9.2\r\n"));
    await new Promise<void>((resolve) => tcp.listen(0, "127.0.0.1", resolve));
    apart.push(() => tcp.close());
    const { port } = tcp.address() as { port: number };
    const client = new MsbClient({ serverUrl: `http://127.0.0.1:${port}` });
    expect((await errorOf(client.health())).code).toBe("MSB_ERR_SERVER_UNREACHABLE");
  });

  it.each([
    ["ends", (response: { end(): void }) => response.end()],
    ["breaks", (response: { destroy(): void }) => response.destroy()],
  ])("in which a stream %s before its last record are lost", async (_what, cut) => {
    const server = await badServer((response) => {
      writeEvents(response, { type: "stdout", text: "a" });
      setImmediate(() => cut(response));
    });
    const error = await errorOf(collect(clientOf(server).runCode(KEY, RUN)));
    expect(error.code).toBe("MSB_ERR_SERVER_UNREACHABLE");
  });

  it("carry the key as a bearer, and what is accepted", async () => {
    const server = await badServer((response) => response.writeHead(200, JSON_TYPE).end(INFO));
    await clientOf(server, "msb_key").info();
    await clientOf(server).info();
    const [first, second] = server.requests.map(({ headers }) => headers);
    expect(first).toMatchObject({ authorization: "Bearer msb_key", accept: "application/json" });
    expect(second).not.toHaveProperty("authorization");
  });

  it("keep the path of the server's address", async () => {
    const server = await badServer((response) => response.writeHead(200, JSON_TYPE).end(INFO));
    await new MsbClient({ serverUrl: `${server.url}/msb//` }).info();
    expect(server.requests[0]?.url).toBe("/msb/api/v1/info");
  });
});

describe("calls that end early", () => {
  it("say that they were aborted, and why", async () => {
    const server = await badServer(() => {});
    const abort = new AbortController();
    const call = errorOf(clientOf(server).info({ signal: abort.signal }));
    await expect.poll(() => server.requests.length).toBe(1);
    abort.abort("no interest");
    expect(await call).toMatchObject({
      name: "AbortError",
      code: "MSB_ERR_ABORTED",
      cause: "no interest",
    });
  });

  it("are not begun for a signal that was aborted before", async () => {
    const server = await badServer(() => {});
    const signal = AbortSignal.abort();
    expect((await errorOf(clientOf(server).info({ signal }))).code).toBe("MSB_ERR_ABORTED");
    expect(server.requests).toEqual([]);
  });

  it("leave nothing on the signal, however many there are", async () => {
    const server = await badServer((response) => response.writeHead(200, JSON_TYPE).end(INFO));
    const { signal } = new AbortController();
    const added: unknown[] = [];
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      added.push(args[1]);
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      added.splice(added.indexOf(args[1]), 1);
      remove(...args);
    };
    for (let round = 0; round < 20; round++) await clientOf(server).info({ signal });
    expect(server.requests).toHaveLength(20);
    expect(added).toEqual([]);
  });

  it("say that they took too long: the answer, its body, the next record", async () => {
    const silent = await badServer(() => {});
    const stuck = await badServer((response) => response.writeHead(200, JSON_TYPE).write("{"));
    const slow = await badServer((response) =>
      writeEvents(response, { type: "stdout", text: "a" }),
    );
    const timeoutMs = 50;
    for (const call of [
      clientOf(silent).info({ timeoutMs }),
      clientOf(stuck).info({ timeoutMs }),
      collect(clientOf(slow).runCode(KEY, RUN, { timeoutMs })),
    ]) {
      const error = await errorOf(call);
      expect(error).toMatchObject({
        name: "TimeoutError",
        code: "MSB_ERR_REQUEST_TIMEOUT",
        details: { timeoutMs },
      });
    }
  });

  it("by their reader close the connection", async () => {
    const closed = deferred<void>();
    const server = await badServer((response, request) => {
      request.socket.once("close", () => closed.resolve());
      writeEvents(response, { type: "stdout", text: "a" });
    });
    for await (const record of clientOf(server).runCode(KEY, RUN)) {
      expect(record).toEqual({ type: "stdout", text: "a" });
      break;
    }
    await closed.promise;
  });
});

describe("records", () => {
  it("end with the last one, also when the answer goes on", async () => {
    const server = await badServer((response) =>
      writeEvents(response, { type: "stdout", text: "a" }, END),
    );
    expect(await collect(clientOf(server).runCode(KEY, RUN))).toEqual([
      { type: "stdout", text: "a" },
      END,
    ]);
  });

  it("leave the connection to the next call", async () => {
    const sockets = new Set<unknown>();
    const server = await badServer((response, request) => {
      sockets.add(request.socket);
      writeEvents(response, END);
      response.end();
    });
    for (let round = 0; round < 10; round++) await collect(clientOf(server).runCode(KEY, RUN));
    expect(server.requests).toHaveLength(10);
    expect(sockets.size).toBeLessThan(10);
  });

  it("may come in any pieces, with what keeps the connection alive between them", async () => {
    const text = `:\n\nevent: stdout\ndata: ${JSON.stringify({ type: "stdout", text: "é✓" })}\n\n:\n\ndata: ${JSON.stringify(END)}\n\n`;
    const server = await badServer(async (response) => {
      response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
      for (const byte of Buffer.from(text)) {
        response.write(Buffer.of(byte));
        await new Promise(setImmediate);
      }
      response.end();
    });
    const transport = new Transport(clientSettings({ serverUrl: server.url }));
    const records = transport.records<RunRecord>({ method: "POST", path: "/x", body: RUN });
    expect(await collect(records)).toEqual([{ type: "stdout", text: "é✓" }, END]);
  });
});
