/** Code through the REST API of a server that really runs: contexts, events as they happen, and how code is ended. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Agent, fetch } from "undici";
import type { CodeContext, RunEvent } from "../../src/kernel/run-types.js";
import { linesOf } from "../helpers/record-lines.js";
import { PYTHON_IMAGE } from "../helpers/server-images.js";
import { TestServer } from "../helpers/server-process.js";
import { testDrivers } from "../helpers/vm-fixture.js";
import { SMALL, WireSandbox } from "../helpers/wire.js";

const BOX = "/api/v1/sandboxes/default/rest";
const CONTEXTS = `${BOX}/contexts`;
const PAUSE_S = 2;
const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });

interface RunBody {
  readonly code: string;
  readonly language?: string;
  readonly contextId?: string;
  readonly timeoutMs?: number;
  readonly interruptOnDisconnect?: boolean;
}

type End = Extract<RunEvent, { type: "end" }>;

describe.each(testDrivers)("code through REST under %s", (driver) => {
  let server: TestServer;
  let box: WireSandbox;
  beforeAll(async () => {
    server = await TestServer.start({ driver });
    box = new WireSandbox(server, "rest");
    await box.start({ ...SMALL, image: PYTHON_IMAGE, memory: 512 });
    await all({ code: "1" });
  });
  afterAll(async () => {
    await box?.stop();
    await server?.[Symbol.asyncDispose]();
  });

  async function call<T>(method: string, path: string, body?: unknown): Promise<[number, T]> {
    const response = await fetch(server.url + path, {
      method,
      dispatcher,
      ...(body === undefined
        ? {}
        : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return [response.status, (text === "" ? undefined : JSON.parse(text)) as T];
  }

  function post(body: RunBody, opts: { accept?: string; signal?: AbortSignal } = {}) {
    return fetch(`${server.url}${BOX}/run`, {
      method: "POST",
      dispatcher,
      headers: { "content-type": "application/json", accept: opts.accept ?? "*/*" },
      body: JSON.stringify({ language: "python", ...body }),
      ...(opts.signal === undefined ? {} : { signal: opts.signal }),
    });
  }

  /** Events as they come. */
  async function* run(body: RunBody, signal?: AbortSignal): AsyncGenerator<RunEvent> {
    const response = await post(body, signal === undefined ? {} : { signal });
    expect([response.status, response.headers.get("content-type")]).toEqual([
      200,
      "application/x-ndjson; charset=utf-8",
    ]);
    for await (const line of linesOf(response)) yield JSON.parse(line) as RunEvent;
  }

  async function all(body: RunBody): Promise<RunEvent[]> {
    const events: RunEvent[] = [];
    for await (const event of run(body)) events.push(event);
    return events;
  }
  const textOf = (events: readonly RunEvent[]): string =>
    events.map((event) => (event.type === "stdout" ? event.text : "")).join("");

  it("events come as they happen, as lines of JSON", async () => {
    const firstAt = new Map<string, number>();
    const code = `import sys, time\nprint('on')\ntime.sleep(${PAUSE_S})\nprint('off', file=sys.stderr)\n6 * 7`;
    for await (const { type } of run({ code })) {
      if (!firstAt.has(type)) firstAt.set(type, performance.now());
    }
    expect([...firstAt.keys()]).toEqual(["stdout", "stderr", "result", "end"]);
    expect(firstAt.get("stderr")! - firstAt.get("stdout")!).toBeGreaterThan(PAUSE_S * 500);
  });

  it("events come as server-sent events when these are asked for", async () => {
    const response = await post({ code: "1" }, { accept: "text/event-stream" });
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    const lines: string[] = [];
    for await (const line of linesOf(response)) lines.push(line);
    expect(lines.filter((line) => line.startsWith("event: "))).toEqual([
      "event: result",
      "event: end",
    ]);
    expect(lines).toContain('data: {"type":"result","result":{"isValue":true,"text":"1"}}');
  });

  it("an exception is text and parts, and values have their forms", async () => {
    const failed = await all({ code: "def f():\n    raise KeyError('k')\nf()" });
    const text = failed.map((event) => (event.type === "stderr" ? event.text : "")).join("");
    const error = failed.find((event) => event.type === "error")!.error;
    expect(error).toMatchObject({ name: "KeyError", value: "'k'" });
    expect(`${error.traceback.join("\n")}\n`).toBe(text);
    expect(text).not.toMatch(/kernel/);
    expect(failed.at(-1)).toMatchObject({ status: "error", reason: "exception" });
    const rich = await all({
      code: "class R:\n    def _repr_html_(self): return '<i>é</i>'\n    def __repr__(self): return 'R'\nR()",
    });
    expect(rich[0]).toEqual({
      type: "result",
      result: { isValue: true, text: "R", html: "<i>é</i>" },
    });
  });

  it("contexts have their own state, folder and environment; they restart and end", async () => {
    const [status, context] = await call<CodeContext>("POST", CONTEXTS, {
      language: "python",
      workdir: "/tmp",
      env: ["COLOUR=blue"],
    });
    expect(status).toBe(201);
    expect(context).toMatchObject({ workdir: "/tmp", env: ["COLOUR=blue"], isDefault: false });
    const contextId = context.id;
    await all({ code: "mine = 'default'" });
    const code =
      "import os\nmine = 'other'\nprint(os.getcwd(), os.environ['COLOUR'], os.environ['IMAGE_SAYS'])";
    expect(textOf(await all({ code, contextId }))).toBe("/tmp blue hello\n");
    expect(textOf(await all({ code: "print(mine)" }))).toBe("default\n");

    const [, { contexts }] = await call<{ contexts: CodeContext[] }>("GET", CONTEXTS);
    expect(contexts.map(({ id, isDefault, state }) => [id, isDefault, state])).toEqual([
      ["python", true, "idle"],
      ["node", true, "absent"],
      [contextId, false, "idle"],
    ]);

    expect(await call("POST", `${CONTEXTS}/${contextId}/restart`)).toMatchObject([
      200,
      { id: contextId, state: "absent" },
    ]);
    const lost = await all({ code: "mine", contextId });
    expect(lost.find((event) => event.type === "error")?.error.name).toBe("NameError");
    // Who asked for it knows that the state is lost.
    expect(lost.at(-1)).toMatchObject({ stateLost: false });

    expect((await call("DELETE", `${CONTEXTS}/${contextId}`))[0]).toBe(204);
    const gone = await post({ code: "1", contextId });
    expect([gone.status, ((await gone.json()) as { code: string }).code]).toEqual([
      404,
      "MSB_ERR_CONTEXT_NOT_FOUND",
    ]);
    expect((await call("DELETE", `${CONTEXTS}/python`))[0]).toBe(409);
  });

  it("contexts run beside each other", async () => {
    const [, { id: contextId }] = await call<CodeContext>("POST", CONTEXTS, { language: "python" });
    await all({ code: "1", contextId });
    const ends: string[] = [];
    const slow = all({ code: `import time; time.sleep(${2 * PAUSE_S})` }).then(() =>
      ends.push("slow"),
    );
    await all({ code: "1", contextId }).then(() => ends.push("fast"));
    await slow;
    expect(ends).toEqual(["fast", "slow"]);
    await call("DELETE", `${CONTEXTS}/${contextId}`);
  });

  it("code is interrupted by request and at its deadline, and its state is kept", async () => {
    await all({ code: "kept = 5" });
    const events: RunEvent[] = [];
    for await (const event of run({ code: "print('on')\nwhile True: pass" })) {
      events.push(event);
      // What is printed may come in pieces.
      if (event.type !== "stdout" || events.length > 1) continue;
      const answer = await call("POST", `${CONTEXTS}/python/interrupt`);
      expect(answer).toEqual([200, { interrupted: true }]);
    }
    expect(events.at(-1)).toMatchObject({ reason: "interrupted", stateLost: false });
    const late = await all({ code: "print('half')\nwhile True: pass", timeoutMs: 1000 });
    expect(textOf(late)).toBe("half\n");
    expect(late.at(-1)).toMatchObject({ status: "error", reason: "timeout" });
    expect((late.at(-1) as End).durationMs).toBeLessThan(3_200);
    expect(textOf(await all({ code: "print(kept)" }))).toBe("5\n");
    expect(await call("POST", `${CONTEXTS}/python/interrupt`)).toEqual([
      200,
      { interrupted: false },
    ]);
  });

  it("code whose client is gone is interrupted, unless it is not to be", async () => {
    await leaveAfterFirst({ code: "print('on')\nwhile True: pass" });
    // It would wait for the loop without end.
    const next = await all({ code: "kept" });
    expect(next.at(-1)).toMatchObject({ status: "success", stateLost: false });
    await leaveAfterFirst({
      code: `import time\nprint('on')\ntime.sleep(${PAUSE_S})\nwent_on = 'yes'`,
      interruptOnDisconnect: false,
    });
    expect(textOf(await all({ code: "print(went_on)" }))).toBe("yes\n");
  });

  async function leaveAfterFirst(body: RunBody): Promise<void> {
    const client = new AbortController();
    const leave = async (): Promise<void> => {
      for await (const event of run(body, client.signal)) {
        expect(event.type).toBe("stdout");
        client.abort();
      }
    };
    await expect(leave()).rejects.toMatchObject({ name: "AbortError" });
  }
});
