import { describe, expect, it } from "vitest";
import type { CommandEvent, SandboxCallOpts } from "../../../src/sandbox/service.js";
import { abortable, deferred } from "../../../src/util/async.js";
import { END, EXITED } from "../../helpers/fake-sandboxes.js";
import { rawClient, rawRequest, type RawClient } from "../../helpers/raw-client.js";
import { listeningApp, type TestApp } from "../../helpers/test-app.js";

const ONE = "/api/v1/sandboxes/default/n1";
const SSE = { accept: "text/event-stream" };

type Listening = TestApp & { readonly port: number };

async function withSandbox(): Promise<Listening> {
  const test = await listeningApp();
  test.sandboxes.add("default", "n1");
  return test;
}

function command(test: Listening, rest: object = {}): Promise<RawClient> {
  const body = JSON.stringify({ command: "x", ...rest });
  return rawClient(test.port, rawRequest("POST", `${ONE}/commands`, { body }));
}

function run(test: Listening, rest: object = {}): Promise<RawClient> {
  const body = JSON.stringify({ language: "python", code: "x", ...rest });
  return rawClient(test.port, rawRequest("POST", `${ONE}/run`, { body }));
}

const WAYS: [string, (client: RawClient) => void][] = [
  ["closes", ({ socket }) => socket.destroy()],
  ["resets", ({ socket }) => socket.resetAndDestroy()],
  ["half-closes", ({ socket }) => socket.end()],
];

describe.each(WAYS)("a client that %s its connection", (_name, leave) => {
  it("leaves nothing of a log that it followed", async () => {
    const test = await withSandbox();
    const path = `${ONE}/logs?follow=true`;
    const client = await rawClient(test.port, rawRequest("GET", path, { headers: SSE }));
    await client.until("text/event-stream");
    await expect.poll(() => test.sandboxes.open).toBe(1);
    leave(client);
    await expect.poll(() => test.sandboxes.open).toBe(0);
    await expect.poll(() => connections(test)).toBe(0);
  });

  it("interrupts the code it ran", async () => {
    const test = await withSandbox();
    let signal: AbortSignal | undefined;
    test.sandboxes.run = async function* (_request, opts: SandboxCallOpts) {
      signal = opts.signal;
      yield { type: "stdout", text: "a" };
      await abortable(new Promise(() => {}), opts.signal, "Code");
    };
    const client = await run(test);
    await client.until('"text":"a"');
    leave(client);
    await expect.poll(() => signal?.aborted).toBe(true);
    await expect.poll(() => test.sandboxes.open).toBe(0);
  });

  it("interrupts code that has not said anything yet", async () => {
    const test = await withSandbox();
    test.sandboxes.run = async function* (_request, opts: SandboxCallOpts) {
      await abortable(new Promise(() => {}), opts.signal, "Code");
      yield END;
    };
    const client = await run(test);
    await expect.poll(() => test.sandboxes.open).toBe(1);
    leave(client);
    await expect.poll(() => test.sandboxes.open).toBe(0);
  });

  it.each([
    ["at once", 0],
    ["later", 1_200],
  ])("lets code go on to its end if it asked for that, gone %s", async (_when, ms) => {
    const test = await withSandbox();
    let count = 0;
    let isDone = false;
    const gone = deferred<void>();
    test.sandboxes.run = async function* () {
      await gone.promise;
      for (; count < 2_000; count++) yield { type: "stdout", text: "x".repeat(1_000) };
      isDone = true;
      yield END;
    };
    const client = await run(test, { interruptOnDisconnect: false });
    await expect.poll(() => test.sandboxes.open).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, ms));
    leave(client);
    await new Promise((resolve) => setTimeout(resolve, 50));
    gone.resolve();
    await expect.poll(() => isDone).toBe(true);
    await expect.poll(() => test.sandboxes.open).toBe(0);
  });

  it.each([
    ["that writes", [{ type: "stdout", data: Buffer.from("a") }]],
    ["that is silent", []],
  ] as [string, CommandEvent[]][])("kills the command %s", async (_what, output) => {
    const test = await withSandbox();
    let signal: AbortSignal | undefined;
    test.sandboxes.stream = async function* (_request, opts) {
      signal = opts.signal;
      yield* output;
      await abortable(new Promise(() => {}), opts.signal, "The command");
    };
    const client = await command(test);
    await expect.poll(() => test.sandboxes.open).toBe(1);
    leave(client);
    await expect.poll(() => signal?.aborted).toBe(true);
    await expect.poll(() => test.sandboxes.open).toBe(0);
  });

  it("lets a command go on to its end if it asked for that", async () => {
    const test = await withSandbox();
    let count = 0;
    const gone = deferred<void>();
    test.sandboxes.stream = async function* () {
      yield { type: "stdout", data: Buffer.from("begun") };
      await gone.promise;
      for (; count < 2_000; count++) yield { type: "stdout", data: Buffer.alloc(1_000) };
      yield EXITED;
    };
    const client = await command(test, { killOnDisconnect: false });
    await client.until("begun");
    leave(client);
    await expect.poll(() => connections(test)).toBe(0);
    gone.resolve();
    await expect.poll(() => test.sandboxes.open).toBe(0);
    expect(count).toBe(2_000);
    expect(test.log.join("")).toContain("A command ran to its end after its client was gone.");
  });

  it("ends the command it ran", async () => {
    const test = await withSandbox();
    const signal = signalOf(test, "runCommand");
    const client = await rpc(test, "sandbox.command.run");
    await signal;
    leave(client);
    await expect.poll(async () => (await signal)?.aborted).toBe(true);
  });

  it.each([
    ["", {}],
    [" and watching", SSE],
  ])(
    "calls off the sandbox it was creating%s, whose name nobody would know",
    async (_how, headers) => {
      const test = await withSandbox();
      const signal = signalOf(test, "create");
      const request = { headers, body: JSON.stringify({ image: "x" }) };
      const client = await rawClient(test.port, rawRequest("POST", "/api/v1/sandboxes", request));
      await signal;
      leave(client);
      await expect.poll(async () => (await signal)?.aborted).toBe(true);
    },
  );

  it.each([
    ["by JSON-RPC", (test: Listening) => rpc(test, "sandbox.start")],
    ["by REST", (test: Listening) => rawClient(test.port, rawRequest("POST", `${ONE}/start`))],
    [
      "by REST, with progress",
      (test: Listening) =>
        rawClient(test.port, rawRequest("POST", `${ONE}/start`, { headers: SSE })),
    ],
  ])("does not end the start it asked for %s", async (_how, send) => {
    const test = await withSandbox();
    const signal = signalOf(test, "start");
    const client = await send(test);
    expect(await signal).toBeUndefined();
    leave(client);
    await expect.poll(() => connections(test)).toBe(0);
  });
});

/** The signal that a method gets, which then never answers. */
function signalOf(
  test: Listening,
  method: "start" | "create" | "runCommand",
): Promise<AbortSignal | undefined> {
  return new Promise((resolve) => {
    test.sandboxes.before[method] = (...args: SandboxCallOpts[]) => {
      resolve(args[2]?.signal);
      return new Promise(() => {});
    };
  });
}

function rpc(test: Listening, method: string): Promise<RawClient> {
  const params = { namespace: "default", sandbox: "n1", command: "x", config: { image: "x" } };
  const body = JSON.stringify({ jsonrpc: "2.0", method, params, id: "1" });
  return rawClient(test.port, rawRequest("POST", "/api/v1/rpc", { body }));
}

describe("a client that does not read", () => {
  it("holds code back instead of filling memory", async () => {
    const test = await withSandbox();
    let count = 0;
    test.sandboxes.run = async function* () {
      for (;;) {
        count++;
        yield { type: "stdout", text: "x".repeat(64 * 1024) };
      }
    };
    const client = await run(test);
    await client.until('"stdout"');
    client.socket.pause();
    let last = -1;
    await expect
      .poll(
        () => {
          const isStill = last === count;
          last = count;
          return isStill;
        },
        { interval: 300 },
      )
      .toBe(true);
    // What the kernel's buffers of both ends hold is some megabytes.
    expect(count * 64).toBeLessThan(64 * 1024);
    client.socket.destroy();
    await expect.poll(() => test.sandboxes.open).toBe(0);
  });
});

describe("an answer that has not begun", () => {
  it("begins after a second, so that nobody gives up on it", async () => {
    const test = await withSandbox();
    const finish = deferred<void>();
    test.sandboxes.run = async function* () {
      await finish.promise;
      yield END;
    };
    const client = await run(test);
    await client.until("200 OK");
    expect(client.received()).not.toContain('"end"');
    finish.resolve();
    await client.until('"end"');
  });
});

async function connections({ app }: Listening): Promise<number> {
  return new Promise((resolve, reject) => {
    app.server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}
