import { describe, expect, it } from "vitest";
import { rawClient, rawRequest } from "../../helpers/raw-client.js";
import { listeningApp } from "../../helpers/test-app.js";

const HEALTH = rawRequest("GET", "/api/v1/health");
/** Timeouts are looked at every 5 s, and after 6 s Node's own default would have closed an idle connection. */
const PAUSE_MS = 7_000;
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe("clients that are slow on purpose", () => {
  it("are cut off while they send headers, and while they send a body", async () => {
    const { app, port } = await listeningApp();
    expect(app.server.headersTimeout).toBeLessThanOrEqual(30_000);
    expect(app.server.requestTimeout).toBeLessThanOrEqual(300_000);
    app.server.headersTimeout = 500;
    app.server.requestTimeout = 1_000;
    const headers = await rawClient(port, "GET /api/v1/health HTTP/1.1\r\nhost: 127.0.0.1\r\n");
    const body = await rawClient(
      port,
      "POST /api/v1/rpc HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{",
    );
    const drip = setInterval(() => {
      headers.socket.write("x-a: b\r\n");
      body.socket.write(" ");
    }, 100);
    try {
      expect(await headers.closed).toMatch(/^HTTP\/1\.1 408 /);
      expect(await body.closed).toMatch(/^(HTTP\/1\.1 408 |$)/);
    } finally {
      clearInterval(drip);
    }
    expect(await (await rawClient(port, HEALTH)).until("healthy")).toContain("200 OK");
  });

  it("may wait for answers, and pause between requests, longer than they may take to send one", async () => {
    const { app, port, sandboxes } = await listeningApp();
    expect(app.server.keepAliveTimeout).toBe(75_000);
    // Of a connection on which nothing happens, as while a start is waited for.
    expect(app.server.timeout).toBe(0);
    app.server.headersTimeout = 500;
    app.server.requestTimeout = 1_000;
    sandboxes.add("default", "n1");
    const pause = wait(PAUSE_MS);
    sandboxes.before.runCommand = () => pause;
    const params = { namespace: "default", sandbox: "n1", command: "sleep" };
    const body = JSON.stringify({ jsonrpc: "2.0", method: "sandbox.command.run", params, id: "1" });
    const waiting = await rawClient(port, rawRequest("POST", "/api/v1/rpc", { body }));
    const idle = await rawClient(port, HEALTH);
    await idle.until("healthy");
    await pause;
    expect(await waiting.until('"exit_code":0')).toContain("200 OK");
    idle.socket.write(HEALTH);
    expect(await idle.until(/healthy[\s\S]*healthy/)).not.toMatch(/connection: close/i);
  });
});

describe("a connection that is kept", () => {
  it("carries several requests that were sent at once", async () => {
    const { port } = await listeningApp();
    const client = await rawClient(port, HEALTH.repeat(20));
    const answers = await client.until(/(?:healthy[^]*?){20}/);
    expect(answers.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(20);
  });

  it("is told to close when the server does", async () => {
    const { app, port, sandboxes } = await listeningApp();
    sandboxes.add("default", "n1");
    let finish = (): void => {};
    sandboxes.before.stop = () => new Promise((resolve) => (finish = resolve));
    const busy = await rawClient(port, rawRequest("POST", "/api/v1/sandboxes/default/n1/stop"));
    await expect.poll(() => sandboxes.calls.length).toBe(1);
    const closing = app.close();
    await expect.poll(() => app.server.listening).toBe(false);
    busy.socket.write(HEALTH);
    await wait(50);
    finish();
    await closing;
    const answers = await busy.closed;
    expect(answers).toContain('"state":"stopped"');
    expect(answers).not.toContain("healthy");
  });
});
