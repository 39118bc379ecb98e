import { describe, expect, it } from "vitest";
import { rawClient, rawRequest, type RawClient } from "../../helpers/raw-client.js";
import { listeningApp } from "../../helpers/test-app.js";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const JSON_TYPE = { "content-type": "application/json" };
/** A byte more would be refused. */
const LIMIT = 16 * MIB;

const memoryMiB = (): number => process.memoryUsage().rss / MIB;

/** Sends until it has sent all or the server has enough of it; how much that was. */
async function pour({ socket }: RawClient, chunk: Buffer, totalBytes: number): Promise<number> {
  let sent = 0;
  while (sent < totalBytes && !socket.destroyed && socket.writable) {
    if (!socket.write(chunk)) {
      await new Promise<void>((resolve) => {
        socket
          .once("drain", resolve)
          .once("close", resolve)
          .once("error", () => resolve());
      });
    }
    sent += chunk.length;
  }
  return sent;
}

describe("bodies of requests", () => {
  it("of 2 MB are read", async () => {
    const { port, sandboxes } = await listeningApp();
    sandboxes.add("default", "n1");
    const params = {
      namespace: "default",
      sandbox: "n1",
      language: "python",
      code: "#".repeat(2 * MIB),
    };
    const body = JSON.stringify({ jsonrpc: "2.0", method: "sandbox.repl.run", params, id: "1" });
    const client = await rawClient(port, rawRequest("POST", "/api/v1/rpc", { body }));
    expect(await client.until('"status":"success"')).toContain("200 OK");
    const [call] = sandboxes.calls;
    expect(call?.args[1]).toMatchObject({ code: "#".repeat(2 * MIB) });
  });

  it("of 1 GB are refused before they come, when they say so", async () => {
    const { port } = await listeningApp();
    const headers = { ...JSON_TYPE, "content-length": String(GIB) };
    const client = await rawClient(port, rawRequest("POST", "/api/v1/rpc", { headers }));
    const answer = await client.closed;
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer).toMatch(/connection: close/i);
  });

  it.each(["/api/v1/rpc", "/api/v1/sandboxes"])(
    "of 1 GB are refused at the limit at %s, when they do not, and cost no memory",
    async (path) => {
      const { port } = await listeningApp();
      const before = memoryMiB();
      const headers = { ...JSON_TYPE, "transfer-encoding": "chunked" };
      const client = await rawClient(port, rawRequest("POST", path, { headers }));
      const data = Buffer.alloc(MIB, " ");
      const chunk = Buffer.concat([
        Buffer.from(`${MIB.toString(16)}\r\n`),
        data,
        Buffer.from("\r\n"),
      ]);
      const sent = await pour(client, chunk, GIB);
      expect(sent).toBeLessThan(4 * LIMIT);
      expect(memoryMiB() - before).toBeLessThan(150);
      await client.closed;
    },
  );

  it.each([
    ["nested arrays", "["],
    ["nested objects", '{"a":'],
    ["empty arrays", "[],"],
    ["empty objects", "{},"],
  ])("that are bombs of %s are refused before anything is built of them", async (_name, part) => {
    const { port } = await listeningApp();
    const body = `[${part.repeat(Math.floor((15 * MIB) / part.length))}`;
    const before = memoryMiB();
    const client = await rawClient(port, rawRequest("POST", "/api/v1/rpc", { body }));
    expect(await client.until(/levels deep|more than 200000 values/)).toMatch(/^HTTP\/1\.1 400 /);
    expect(memoryMiB() - before).toBeLessThan(200);
  });

  it("that end too early are nobody's trouble", async () => {
    const { app, port } = await listeningApp();
    const client = await rawClient(
      port,
      rawRequest("POST", "/api/v1/rpc", { body: "{}" }).slice(0, -1),
    );
    client.socket.end();
    await client.closed;
    const next = await rawClient(port, rawRequest("GET", "/api/v1/health"));
    await next.until("healthy");
    expect(app.server.listening).toBe(true);
  });
});
