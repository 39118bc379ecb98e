import { createServer } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { fastify } from "fastify";
import { pino } from "pino";
import { describe, expect, it, onTestFinished } from "vitest";
import { serverConfig, type ServerOpts } from "../../../../src/config.js";
import { MsbError } from "../../../../src/errors.js";
import { msbPaths } from "../../../../src/paths.js";
import {
  type Launch,
  type RunningServer,
  serve,
  type ServeOpts,
} from "../../../../src/server/process/serve.js";
import { findServer } from "../../../../src/server/process/server-lock.js";
import { deferred } from "../../../../src/util/async.js";
import { tempDir } from "../../../helpers/temp-dir.js";

/** An application of one route, which answers when `slow` resolves. */
function fakeLaunch(opts: { slow?: Promise<void>; closeError?: Error } = {}) {
  const events: string[] = [];
  const launch: Launch = async ({ settings }) => {
    events.push(`launch ${settings.host}`);
    const app = fastify();
    app.get("/", async () => ({ hello: "world" }));
    app.get("/slow", async () => {
      events.push("request begins");
      await opts.slow;
      events.push("request ends");
      return {};
    });
    app.addHook("onClose", async () => void events.push("app closed"));
    return {
      app,
      close: async ({ sandboxes }) => {
        events.push(`close ${sandboxes}`);
        if (opts.closeError !== undefined) throw opts.closeError;
      },
    };
  };
  return { launch, events };
}

async function options(more: Partial<ServeOpts> = {}): Promise<ServeOpts> {
  return {
    paths: msbPaths(join(await tempDir(), "home")),
    env: {},
    logger: pino({ level: "silent" }),
    logFile: null,
    version: "1.2.3",
    ...more,
  };
}

async function start(
  launch: Launch,
  opts: ServeOpts,
  config: ServerOpts = {},
): Promise<RunningServer> {
  const server = await serve(serverConfig({ port: 0, ...config }, {}), opts, launch);
  onTestFinished(() => server.close().catch(() => {}));
  return server;
}

describe("a server", () => {
  it("answers when it is there, and is gone after its end", async () => {
    const { launch, events } = fakeLaunch();
    const opts = await options();
    const server = await start(launch, opts);
    expect(await (await fetch(server.url)).json()).toEqual({ hello: "world" });
    expect(await findServer(opts.paths)).toMatchObject({
      state: "running",
      process: { url: server.url, version: "1.2.3" },
    });
    await server.close();
    await server.closed;
    await expect(fetch(server.url)).rejects.toThrow("fetch failed");
    expect(await findServer(opts.paths)).toEqual({ state: "none" });
    expect(events).toEqual(["launch 127.0.0.1", "app closed", "close stop"]);
  });

  it("listens on IPv6, and tells an address that can be reached when it listens on all", async () => {
    const six = await start(fakeLaunch().launch, await options(), { host: "::1" });
    expect(six.url).toMatch(/^http:\/\/\[::1\]:\d+$/);
    expect((await fetch(six.url)).status).toBe(200);
    const all = await start(fakeLaunch().launch, await options(), { host: "0.0.0.0" });
    expect(all.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(all.process.address).toMatch(/^0\.0\.0\.0:\d+$/);
    expect((await fetch(all.url)).status).toBe(200);
  });

  it("can be closed twice at once, and does with sandboxes what it is told", async () => {
    const { launch, events } = fakeLaunch();
    const server = await start(launch, await options(), { shutdown: "stop" });
    await Promise.all([server.close({ sandboxes: "detach" }), server.close()]);
    expect(events.filter((event) => event.startsWith("close"))).toHaveLength(1);
  });

  it("lets requests end before sandboxes do", async () => {
    const slow = deferred<void>();
    const { launch, events } = fakeLaunch({ slow: slow.promise });
    const server = await start(launch, await options());
    const answer = fetch(`${server.url}/slow`);
    await expect.poll(() => events).toContain("request begins");
    const closing = server.close();
    setTimeout(slow.resolve, 100);
    expect((await answer).status).toBe(200);
    await closing;
    expect(events.slice(1)).toEqual(["request begins", "request ends", "app closed", "close stop"]);
  });

  it("cuts requests off that do not end", async () => {
    const slow = deferred<void>();
    const { launch, events } = fakeLaunch({ slow: slow.promise });
    const server = await start(launch, await options({ drainMs: 50 }));
    const answer = fetch(`${server.url}/slow`);
    answer.catch(() => {});
    await expect.poll(() => events).toContain("request begins");
    await server.close();
    await expect(answer).rejects.toThrow("fetch failed");
    expect(events).toContain("close stop");
    slow.resolve();
  });

  it("is gone also when sandboxes could not be closed, and says so", async () => {
    const opts = await options();
    const { launch } = fakeLaunch({ closeError: new Error("not today") });
    const server = await start(launch, opts);
    await expect(server.close()).rejects.toThrow("not today");
    await expect(server.closed).rejects.toThrow("not today");
    expect(await findServer(opts.paths)).toEqual({ state: "none" });
  });
});

describe("a server that cannot start", () => {
  it("because its port is taken launches nothing and says which option to change", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void other.close());
    await once(other, "listening");
    const { port } = other.address() as { port: number };
    const { launch, events } = fakeLaunch();
    const opts = await options();
    await expect(start(launch, opts, { port })).rejects.toMatchObject({
      code: "MSB_ERR_ADDRESS_IN_USE",
      message: expect.stringContaining("--port"),
      details: { host: "127.0.0.1", port },
    });
    expect(events).toEqual([]);
    expect(await findServer(opts.paths)).toEqual({ state: "none" });
  });

  it("because somebody took its port while it was launched leaves sandboxes to the next one", async () => {
    const probe = createServer().listen(0, "127.0.0.1");
    await once(probe, "listening");
    const { port } = probe.address() as { port: number };
    probe.close();
    await once(probe, "close");
    const { launch, events } = fakeLaunch();
    const thief = createServer();
    onTestFinished(() => void thief.close());
    const stolen: Launch = async (scope) => {
      await once(thief.listen(port, "127.0.0.1"), "listening");
      return launch(scope);
    };
    await expect(start(stolen, await options(), { port })).rejects.toMatchObject({
      code: "MSB_ERR_ADDRESS_IN_USE",
    });
    expect(events).toEqual(["launch 127.0.0.1", "app closed", "close detach"]);
  });

  it("because the address is none of this machine's names --host", async () => {
    const starting = start(fakeLaunch().launch, await options(), { host: "192.0.2.1", port: 5555 });
    await expect(starting).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      message: expect.stringContaining("--host"),
    });
  });

  it("because its launch fails throws that, and lets go of the lock", async () => {
    const opts = await options();
    const failed = new MsbError("MSB_ERR_KVM_UNAVAILABLE", "No.");
    await expect(start(() => Promise.reject(failed), opts)).rejects.toBe(failed);
    expect(await findServer(opts.paths)).toEqual({ state: "none" });
  });

  it("because it is stopped meanwhile leaves sandboxes to the next one", async () => {
    const stop = new AbortController();
    const reason = new MsbError("MSB_ERR_ABORTED", "Stopped by SIGTERM.");
    const { launch, events } = fakeLaunch();
    const stopped: Launch = async (scope) => {
      stop.abort(reason);
      return launch(scope);
    };
    const opts = await options({ signal: stop.signal });
    await expect(start(stopped, opts)).rejects.toBe(reason);
    expect(events).toEqual(["launch 127.0.0.1", "app closed", "close detach"]);
    expect(await findServer(opts.paths)).toEqual({ state: "none" });
    await expect(start(launch, opts)).rejects.toBe(reason);
  });

  it("because another one has its MSB_HOME is told about that one", async () => {
    const opts = await options();
    const first = await start(fakeLaunch().launch, opts);
    const { launch, events } = fakeLaunch();
    await expect(start(launch, opts)).rejects.toMatchObject({
      code: "MSB_ERR_SERVER_RUNNING",
      details: { url: first.url, pid: process.pid },
    });
    expect(events).toEqual([]);
    expect((await fetch(first.url)).status).toBe(200);
  });
});
