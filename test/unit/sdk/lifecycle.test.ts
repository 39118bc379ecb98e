import { beforeEach, describe, expect, it } from "vitest";
import { MsbError } from "../../../src/errors.js";
import { NodeSandbox, PythonSandbox, Sandbox } from "../../../src/index.js";
import { deferred } from "../../../src/util/async.js";
import { callsOf, collect, errorOf, KEY, sdkApp, type SdkApp } from "../../helpers/sdk.js";
import { NAMESPACE_KEYS } from "../../helpers/test-app.js";

const MADE_UP = /^sandbox-[0-9a-f]{8}$/;
const PYTHON_SPEC = { image: "python", memoryMiB: 512, cpus: 1 };

let app: SdkApp;
let serverUrl: string;
beforeEach(async () => {
  app = await sdkApp();
  ({ serverUrl } = app);
});

/** Says that it was asked, and never answers. */
function hangs(asked: { readonly resolve: (value: void) => void }): Promise<void> {
  asked.resolve();
  return new Promise(() => {});
}

const methods = (): string[] => app.sandboxes.calls.map(({ method }) => method);

describe("a sandbox whose name is made up", () => {
  it("is created, and is gone with its disk at the end of its scope", async () => {
    let name: string;
    {
      await using sandbox = await PythonSandbox.create({ serverUrl });
      ({ name } = sandbox);
      expect(name).toMatch(MADE_UP);
      expect(sandbox).toMatchObject({ namespace: "default", serverUrl, isStarted: true });
      expect(app.sandboxes.get({ namespace: "default", name }).state).toBe("running");
    }
    expect(app.sandboxes.stored.size).toBe(0);
    expect(callsOf(app)).toEqual([
      ["create", { namespace: "default", name }, PYTHON_SPEC, {}],
      ["stop", { namespace: "default", name }, {}],
      ["remove", { namespace: "default", name }, { force: true }],
    ]);
  });

  it("is another one each time", () => {
    const names = Array.from({ length: 20 }, () => new Sandbox({ serverUrl }).name);
    expect(new Set(names).size).toBe(20);
  });

  it("can be started again", async () => {
    const sandbox = new NodeSandbox({ serverUrl });
    for (let round = 0; round < 2; round++) {
      await sandbox.start();
      expect(app.sandboxes.stored.size).toBe(1);
      await sandbox.stop();
      expect(app.sandboxes.stored.size).toBe(0);
    }
    expect(sandbox.isStarted).toBe(false);
  });

  it("needs an image when its class has none", async () => {
    const error = await errorOf(Sandbox.create({ serverUrl }));
    expect(error).toMatchObject({ name: "InvalidArgumentError", details: { option: "image" } });
    expect(app.sandboxes.calls).toEqual([]);
  });
});

describe("a sandbox with a name", () => {
  it("keeps its disk when it is stopped, and is started on it", async () => {
    const sandbox = await PythonSandbox.create({ serverUrl, name: "box", memory: 256 });
    await sandbox.stop();
    expect(app.sandboxes.get(KEY).state).toBe("stopped");
    await sandbox.start();
    expect(methods()).toEqual(["create", "stop", "start"]);
    expect(app.sandboxes.get(KEY)).toMatchObject({ state: "running" });
  });

  it("that runs is left as it is", async () => {
    app.sandboxes.add("default", "box");
    const sandbox = await PythonSandbox.create({ serverUrl, name: "box" });
    expect(sandbox.isStarted).toBe(true);
    expect(callsOf(app)).toEqual([["start", KEY, PYTHON_SPEC, {}]]);
  });

  it("that somebody else makes at the same time is one sandbox", async () => {
    app.sandboxes.before.create = () => {
      app.sandboxes.add("default", "box");
    };
    await PythonSandbox.create({ serverUrl, name: "box" });
    expect(methods()).toEqual(["create", "start"]);
  });

  it("is started with what is stored when no image is said", async () => {
    app.sandboxes.add("default", "box", { state: "stopped" });
    await Sandbox.create({ serverUrl, name: "box" });
    expect(callsOf(app)).toEqual([["start", KEY, null, {}]]);
    expect(await errorOf(Sandbox.create({ serverUrl, name: "other" }))).toMatchObject({
      code: "MSB_ERR_SANDBOX_NOT_FOUND",
    });
  });

  it("is removed with its disk by remove(), running or not, there or not", async () => {
    const sandbox = await PythonSandbox.create({ serverUrl, name: "box" });
    await sandbox.remove();
    expect(sandbox.isStarted).toBe(false);
    expect(app.sandboxes.stored.size).toBe(0);
    await sandbox.remove();
    expect(callsOf(app).slice(1)).toEqual([
      ["remove", KEY, { force: true }],
      ["remove", KEY, { force: true }],
    ]);
  });

  it("is of its namespace", async () => {
    const keyed = await sdkApp({ authenticator: NAMESPACE_KEYS });
    const opts = { serverUrl: keyed.serverUrl, namespace: "team", name: "box" };
    expect(await errorOf(PythonSandbox.create(opts))).toMatchObject({
      name: "AuthenticationError",
      code: "MSB_ERR_UNAUTHENTICATED",
      message: expect.stringMatching(/: give a key of this server as apiKey or in MSB_API_KEY;/),
    });
    expect(await errorOf(PythonSandbox.create({ ...opts, apiKey: "msb_other" }))).toMatchObject({
      name: "AuthenticationError",
      code: "MSB_ERR_ACCESS_DENIED",
    });
    const sandbox = await PythonSandbox.create({ ...opts, apiKey: "msb_team" });
    expect(sandbox.namespace).toBe("team");
    expect(callsOf(keyed)).toEqual([
      ["create", { namespace: "team", name: "box" }, PYTHON_SPEC, {}],
    ]);
  });
});

describe("a start", () => {
  it("tells how far the image is", async () => {
    const progress = {
      id: "layer 1",
      label: "layer 1",
      state: "running",
      doneBytes: 1,
      totalBytes: 2,
    };
    app.sandboxes.before.create = (...args: unknown[]) => {
      (args[2] as { onProgress?: (told: unknown) => void }).onProgress?.(progress);
    };
    const told: unknown[] = [];
    await PythonSandbox.create({ serverUrl, onProgress: (one) => told.push(one) });
    expect(told).toEqual([progress]);
  });

  it("that is asked for twice is one", async () => {
    const sandbox = new PythonSandbox({ serverUrl });
    await Promise.all([sandbox.start(), sandbox.start()]);
    expect(methods()).toEqual(["create"]);
  });

  it("of what is started asks the server, which may have stopped it", async () => {
    const sandbox = await PythonSandbox.create({ serverUrl });
    await app.sandboxes.stop({ namespace: "default", name: sandbox.name });
    await sandbox.start();
    expect(await sandbox.metrics.isRunning()).toBe(true);
  });

  it("that fails leaves an object that is not started", async () => {
    app.sandboxes.before.create = () => {
      throw new MsbError("MSB_ERR_BOOT_FAILED", "It did not boot.", { details: { stage: "vm" } });
    };
    const sandbox = new PythonSandbox({ serverUrl });
    expect(await errorOf(sandbox.start())).toMatchObject({
      name: "ServerError",
      code: "MSB_ERR_BOOT_FAILED",
      details: { stage: "vm", requestId: expect.any(String) },
    });
    expect(sandbox.isStarted).toBe(false);
    await sandbox.stop();
    expect(methods()).toEqual(["create"]);
  });

  it("that is aborted leaves no sandbox, also when the server was just done", async () => {
    const asked = deferred<void>();
    app.sandboxes.before.create = (...args: unknown[]) => {
      const { namespace, name } = args[0] as typeof KEY;
      app.sandboxes.add(namespace, name);
      return hangs(asked);
    };
    const abort = new AbortController();
    const start = errorOf(PythonSandbox.create({ serverUrl, signal: abort.signal }));
    await asked.promise;
    expect(app.sandboxes.stored.size).toBe(1);
    abort.abort();
    expect((await start).code).toBe("MSB_ERR_ABORTED");
    expect(app.sandboxes.stored.size).toBe(0);
  });

  it("that takes too long says which option gives it more", async () => {
    app.sandboxes.before.create = () => new Promise(() => {});
    const error = await errorOf(PythonSandbox.create({ serverUrl, name: "box", timeout: 0.1 }));
    expect(error).toMatchObject({ name: "TimeoutError", details: { timeoutMs: 100 } });
    expect(error.message).toContain("The start of sandbox default/box");
    expect(error.message).toContain("timeout, in seconds");
  });

  it("of a stopped sandbox, called off, leaves it stopped", async () => {
    app.sandboxes.add("default", "box", { state: "stopped" });
    const asked = deferred<void>();
    app.sandboxes.before.start = () => {
      app.sandboxes.add("default", "box");
      return hangs(asked);
    };
    const abort = new AbortController();
    const opts = { serverUrl, name: "box", signal: abort.signal };
    const start = errorOf(PythonSandbox.create(opts));
    await asked.promise;
    abort.abort();
    expect((await start).code).toBe("MSB_ERR_ABORTED");
    expect(methods()).toEqual(["start", "stop"]);
    expect(app.sandboxes.get(KEY).state).toBe("stopped");
  });

  it("of a sandbox of others, called off, leaves it to them", async () => {
    app.sandboxes.add("default", "box");
    const asked = deferred<void>();
    app.sandboxes.before.start = () => hangs(asked);
    const abort = new AbortController();
    const opts = { serverUrl, name: "box", signal: abort.signal };
    const start = errorOf(PythonSandbox.create(opts));
    await asked.promise;
    abort.abort();
    expect((await start).code).toBe("MSB_ERR_ABORTED");
    expect(methods()).toEqual(["start"]);
    expect(app.sandboxes.get(KEY).state).toBe("running");
  });

  it("is called off by a stop", async () => {
    const asked = deferred<void>();
    app.sandboxes.before.create = () => hangs(asked);
    const sandbox = new PythonSandbox({ serverUrl });
    const start = errorOf(sandbox.start());
    await asked.promise;
    await sandbox.stop();
    const error = await start;
    expect(error.code).toBe("MSB_ERR_ABORTED");
    expect(error.message).toContain("stop()");
    expect(sandbox.isStarted).toBe(false);
    expect(app.sandboxes.stored.size).toBe(0);
  });

  it("of a server that is not there says so", async () => {
    const opts = { serverUrl: "http://127.0.0.1:9", timeout: 20 };
    const error = await errorOf(PythonSandbox.create(opts));
    expect(error).toMatchObject({ name: "ConnectionError", code: "MSB_ERR_SERVER_UNREACHABLE" });
  });
});

describe("a stop", () => {
  it("is one, however often it is asked for", async () => {
    const sandbox = await PythonSandbox.create({ serverUrl, name: "box" });
    await Promise.all([sandbox.stop({ grace: 2 }), sandbox.stop()]);
    await sandbox.stop();
    expect(callsOf(app).slice(1)).toEqual([["stop", KEY, { graceMs: 2000 }]]);
  });

  it("of what is gone from the server is none", async () => {
    const sandbox = await PythonSandbox.create({ serverUrl });
    app.sandboxes.stored.clear();
    await sandbox.stop();
    expect(sandbox.isStarted).toBe(false);
  });

  it("that fails can be tried again", async () => {
    const sandbox = await PythonSandbox.create({ serverUrl, name: "box" });
    app.sandboxes.before.stop = () => {
      throw new MsbError("MSB_ERR_SHUTTING_DOWN", "The server ends.");
    };
    expect((await errorOf(sandbox.stop())).code).toBe("MSB_ERR_SHUTTING_DOWN");
    expect(sandbox.isStarted).toBe(true);
    delete app.sandboxes.before.stop;
    await sandbox.stop();
    expect(sandbox.isStarted).toBe(false);
  });

  it("of what was never started asks nobody", async () => {
    await new PythonSandbox({ serverUrl }).stop();
    expect(app.sandboxes.calls).toEqual([]);
  });

  it("makes a start wait that comes meanwhile", async () => {
    const sandbox = await PythonSandbox.create({ serverUrl, name: "box" });
    await Promise.all([sandbox.stop(), sandbox.start()]);
    expect(methods()).toEqual(["create", "stop", "start"]);
    expect(sandbox.isStarted).toBe(true);
  });
});

describe("connect", () => {
  it("gives an object for what runs, and leaves it running", async () => {
    app.sandboxes.add("team", "box");
    {
      await using sandbox = await PythonSandbox.connect("box", { serverUrl, namespace: "team" });
      expect(sandbox).toBeInstanceOf(PythonSandbox);
      expect(sandbox).toMatchObject({ name: "box", namespace: "team", isStarted: true });
      expect(await sandbox.metrics.isRunning()).toBe(true);
    }
    expect(methods()).toEqual(["metrics"]);
  });

  it.each(["stopped", "booting", "failed"] as const)("fails when it is %s", async (state) => {
    app.sandboxes.add("default", "box", { state });
    expect(await errorOf(Sandbox.connect("box", { serverUrl }))).toMatchObject({
      name: "InvalidStateError",
      code: "MSB_ERR_INVALID_STATE",
      details: { name: "box", state },
    });
    expect(app.sandboxes.calls).toEqual([]);
  });

  it("fails when it is not there, and never makes one", async () => {
    expect((await errorOf(Sandbox.connect("box", { serverUrl }))).code).toBe(
      "MSB_ERR_SANDBOX_NOT_FOUND",
    );
    app.sandboxes.add("default", "box");
    const sandbox = await PythonSandbox.connect("box", { serverUrl });
    app.sandboxes.stored.clear();
    expect((await errorOf(sandbox.start())).code).toBe("MSB_ERR_SANDBOX_NOT_FOUND");
    expect(app.sandboxes.stored.size).toBe(0);
  });

  it("gives what can be stopped, and started again", async () => {
    app.sandboxes.add("default", "box");
    const sandbox = await Sandbox.connect("box", { serverUrl });
    await sandbox.stop();
    await sandbox.start();
    expect(callsOf(app)).toEqual([
      ["stop", KEY, {}],
      ["start", KEY, null, {}],
    ]);
  });
});

describe("list", () => {
  it("gives all there are, by any filter, over pages", async () => {
    for (let at = 10; at < 15; at++) app.sandboxes.add("default", `box-${at}`);
    app.sandboxes.add("team", "other", { state: "stopped" });
    const names = (await collect(Sandbox.list({ serverUrl }))).map(({ name }) => name);
    expect(names).toEqual(["box-10", "box-11", "box-12", "box-13", "box-14", "other"]);
    const filter = {
      namespace: "team",
      state: ["stopped", "failed"],
      labels: { a: "b=c" },
    } as const;
    expect(await collect(Sandbox.list({ serverUrl, ...filter }))).toEqual([]);
    expect(callsOf(app).at(-1)).toEqual([
      "list",
      { namespace: "team", states: ["stopped", "failed"], labels: { a: "b=c" } },
    ]);
  });
});

it("Calls of what is not started say what to call first, and ask nobody", async () => {
  const sandbox = new Sandbox({ serverUrl, name: "box" });
  const calls = [
    () => sandbox.run("1"),
    () => collect(sandbox.runStream("1")),
    () => sandbox.command.run("ls"),
    () => collect(sandbox.command.stream("ls")),
    () => sandbox.metrics.all(),
    () => sandbox.metrics.cpu(),
    () => sandbox.metrics.isRunning(),
    () => sandbox.contexts.create(),
    () => sandbox.contexts.list(),
    () => sandbox.interrupt(),
  ];
  for (const call of calls) {
    const error = await errorOf(call);
    expect(error).toMatchObject({ name: "InvalidStateError", code: "MSB_ERR_INVALID_STATE" });
    expect(error.message).toBe("Sandbox default/box is not started. Call start() first.");
  }
  expect(app.sandboxes.calls).toEqual([]);
});
