import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { rawClient, rawRequest } from "../../helpers/raw-client.js";
import { listeningApp } from "../../helpers/test-app.js";

const TOTAL = 10_000;
const BATCH = 250;

describe("10,000 connections", () => {
  it("are held up to a limit, and who is in is served as ever", async () => {
    const { app, port } = await listeningApp();
    const limit = app.server.maxConnections;
    expect(limit).toBeLessThan(TOTAL);
    const early = await rawClient(port, rawRequest("GET", "/api/v1/health"));
    await early.until("healthy");
    const open = new Set<Socket>();
    onTestFinished(() => {
      for (const socket of open) socket.destroy();
    });
    let most = 0;
    for (let done = 0; done < TOTAL; done += BATCH) {
      await Promise.all(Array.from({ length: BATCH }, () => connected(port, open)));
      most = Math.max(most, await connectionsOf(app.server));
    }
    expect(most).toBeGreaterThan(limit / 2);
    expect(most).toBeLessThanOrEqual(limit);
    await expect.poll(() => open.size).toBeLessThanOrEqual(limit);
    early.socket.write(rawRequest("GET", "/api/v1/health"));
    await early.until(/healthy[\s\S]*healthy/);
    // Who leaves makes room.
    for (const socket of open) socket.destroy();
    await expect.poll(() => connectionsOf(app.server)).toBeLessThan(10);
    await (await rawClient(port, rawRequest("GET", "/api/v1/health"))).until("healthy");
  });
});

async function connected(port: number, open: Set<Socket>): Promise<void> {
  const socket = connect({ host: "127.0.0.1", port });
  open.add(socket);
  socket.on("error", () => {}).on("close", () => open.delete(socket));
  socket.resume();
  await Promise.race([once(socket, "connect"), once(socket, "close")]).catch(() => {});
}

function connectionsOf(server: {
  getConnections(done: (error: Error | null, count: number) => void): unknown;
}): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
  });
}
