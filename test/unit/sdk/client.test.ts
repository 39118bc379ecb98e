import { describe, expect, it } from "vitest";
import { MsbClient, Sandbox } from "../../../src/index.js";
import type { LogEntry, StartOpts } from "../../../src/sandbox/service.js";
import { listeningApp } from "../../helpers/test-app.js";
import { collect, errorOf, KEY, sdkApp } from "../../helpers/sdk.js";

const EVENT: LogEntry = {
  source: "events",
  event: { seq: 1, at: "2026-01-01T00:00:00.000Z", type: "end", message: "An event called end." },
};
const CONSOLE: LogEntry = { source: "console", text: "Linux version 6\n" };

describe("the client", () => {
  it("knows whether the server is there, and what it is", async () => {
    const { serverUrl } = await sdkApp();
    const client = new MsbClient({ serverUrl });
    await client.health();
    expect(await client.info()).toMatchObject({ version: "1.2.3", hypervisor: { driver: "qemu" } });
  });

  it("lists page by page", async () => {
    const { serverUrl, sandboxes } = await sdkApp();
    for (let at = 10; at < 15; at++) sandboxes.add("default", `box-${at}`);
    const client = new MsbClient({ serverUrl });
    const all = await collect(client.listSandboxes({ limit: 2 }));
    expect(all.map(({ name }) => name)).toEqual([10, 11, 12, 13, 14].map((at) => `box-${at}`));
    expect(sandboxes.calls).toHaveLength(3);
  });

  it("names sandboxes and contexts whatever is in their names", async () => {
    const { serverUrl } = await sdkApp();
    const error = await errorOf(
      new MsbClient({ serverUrl }).getSandbox({ namespace: "a/b", name: "c?d" }),
    );
    expect(error.code).not.toBe("MSB_ERR_SERVER_INCOMPATIBLE");
    expect(error.code).not.toBe("MSB_ERR_ROUTE_NOT_FOUND");
  });

  it("makes ready what sandboxes start from, and tells how far it is", async () => {
    const { serverUrl, sandboxes } = await sdkApp();
    const progress = { id: "boot", label: "boot", state: "running" } as const;
    sandboxes.before.warm = (_request: unknown, { onProgress }: StartOpts) =>
      onProgress?.({ ...progress, doneBytes: 0, totalBytes: null });
    const told: unknown[] = [];
    const body = { image: "python", cpus: 2 };
    const warmed = await new MsbClient({ serverUrl }).warmImage(body, {
      onProgress: (one) => told.push(one),
    });
    expect(warmed).toMatchObject({ ...body, headStart: "template", wasReady: false });
    expect(told).toMatchObject([progress]);
    expect(sandboxes.calls).toMatchObject([{ method: "warm", args: [body, {}] }]);
  });

  it("downloads, shows and removes images, and tells how far it is", async () => {
    const { port, images } = await listeningApp();
    const client = new MsbClient({ serverUrl: `http://127.0.0.1:${port}` });
    const progress = {
      id: "disk",
      label: "disk",
      state: "done",
      doneBytes: 1,
      totalBytes: 1,
    } as const;
    images.before["pull"] = async (...args) => {
      (args[1] as { onProgress: (told: unknown) => void }).onProgress(progress);
    };
    const told: unknown[] = [];
    const image = await client.pullImage("python", { onProgress: (one) => told.push(one) });
    expect(image).toMatchObject({ names: ["docker.io/library/python:3.12"], diskBytes: 81e6 });
    expect(told).toEqual([progress]);
    expect(await client.images()).toEqual([image]);
    expect(await client.image("docker.io/library/python:3.12")).toMatchObject(image);
    expect(await client.removeImage("docker.io/library/python:3.12", { force: true })).toEqual(
      images.removed,
    );
    expect(images.calls.at(-1)).toEqual({
      method: "remove",
      args: [["docker.io/library/python:3.12"], { force: true }],
    });
  });
});

describe("logs", () => {
  it("are what is kept", async () => {
    const { serverUrl, sandboxes } = await sdkApp();
    sandboxes.add("default", "box");
    sandboxes.log(EVENT, CONSOLE);
    const sandbox = new Sandbox({ serverUrl, name: "box" });
    expect(await collect(sandbox.logs())).toEqual([EVENT, CONSOLE]);
    expect(await collect(sandbox.logs({ source: ["console"] }))).toEqual([CONSOLE]);
  });

  it("are followed until the reader stops, or its signal says so", async () => {
    const { serverUrl, sandboxes } = await sdkApp();
    sandboxes.add("default", "box");
    sandboxes.log(EVENT);
    const sandbox = new Sandbox({ serverUrl, name: "box" });
    const seen: LogEntry[] = [];
    for await (const entry of sandbox.logs({ follow: true })) {
      seen.push(entry as LogEntry);
      if (seen.length === 2) break;
      sandboxes.log(CONSOLE);
    }
    expect(seen).toEqual([EVENT, CONSOLE]);
    const abort = new AbortController();
    const follow = collect(sandbox.logs({ follow: true, signal: abort.signal }));
    await expect.poll(() => sandboxes.open).toBe(1);
    abort.abort();
    expect((await errorOf(follow)).code).toBe("MSB_ERR_ABORTED");
    await expect.poll(() => sandboxes.open).toBe(0);
  });

  it("are followed to their end", async () => {
    const { serverUrl, sandboxes } = await sdkApp();
    sandboxes.add("default", "box");
    sandboxes.log(EVENT);
    sandboxes.logs = async function* () {
      yield EVENT;
    };
    const sandbox = new Sandbox({ serverUrl, name: "box" });
    expect(await collect(sandbox.logs({ follow: true }))).toEqual([EVENT]);
  });
});

it("What the server knows of a sandbox is there also when it is stopped", async () => {
  const { serverUrl, sandboxes } = await sdkApp();
  sandboxes.add("default", "box", { state: "stopped" });
  expect(await new Sandbox({ serverUrl, name: "box" }).info()).toMatchObject({
    ...KEY,
    state: "stopped",
  });
});
