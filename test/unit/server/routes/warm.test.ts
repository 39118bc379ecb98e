import { Value } from "@sinclair/typebox/value";
import { beforeEach, describe, expect, it } from "vitest";
import { WarmedView, WarmRecord } from "../../../../src/api/warm.js";
import { MsbError } from "../../../../src/errors.js";
import type { StartOpts, WarmRequest } from "../../../../src/sandbox/service.js";
import { MsbClient } from "../../../../src/sdk/client.js";
import {
  bearer,
  listeningApp,
  NAMESPACE_KEYS,
  type TestApp,
  testApp,
} from "../../../helpers/test-app.js";

const URL = "/api/v1/images/warm";

let test: TestApp;
beforeEach(async () => {
  test = await testApp({ authenticator: NAMESPACE_KEYS });
});

function send(payload: object, opts: { key?: string; accept?: string } = {}) {
  const { key = "*", accept = "application/json" } = opts;
  return test.app.inject({
    method: "POST",
    url: URL,
    headers: { ...bearer(key), accept },
    payload,
  });
}

describe("POST /api/v1/images/warm", () => {
  const payload = { image: "python", memoryMiB: 512, cpus: 2, diskMiB: 100 };

  it("answers with what is ready", async () => {
    const answer = await send(payload);
    expect(answer.statusCode).toBe(200);
    expect(answer.json()).toMatchObject({ ...payload, headStart: "template", wasReady: false });
    expect(Value.Check(WarmedView, answer.json())).toBe(true);
    expect(test.sandboxes.calls).toMatchObject([{ method: "warm", args: [payload, {}] }]);
  });

  it("tells line by line how far it is", async () => {
    test.sandboxes.before.warm = async (_request: WarmRequest, { onProgress }: StartOpts) => {
      const step = { id: "boot", label: "boot", doneBytes: 0, totalBytes: null };
      onProgress?.({ ...step, state: "running" });
      await new Promise((resolve) => setTimeout(resolve, 20));
      onProgress?.({ ...step, state: "done" });
    };
    const answer = await send(payload, { accept: "application/x-ndjson" });
    const records: unknown[] = answer.body
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(records.every((record) => Value.Check(WarmRecord, record))).toBe(true);
    expect(records).toMatchObject([
      { type: "progress", progress: { id: "boot", state: "running" } },
      { type: "progress", progress: { id: "boot", state: "done" } },
      { type: "done", warmed: payload },
    ]);
  });

  it("has the status of what kept it from being made", async () => {
    test.sandboxes.before.warm = () => {
      throw new MsbError("MSB_ERR_TOO_MANY_SANDBOXES", "no room", {
        details: { retryAfterSeconds: 5 },
      });
    };
    for (const accept of ["application/json", "application/x-ndjson"]) {
      const answer = await send(payload, { accept });
      expect(answer.json()).toMatchObject({ statusCode: 429, message: "no room" });
      expect(answer.headers["retry-after"]).toBe("5");
    }
  });

  it("is for keys of all namespaces, for its memory is taken from all of them", async () => {
    expect((await send(payload, { key: "team" })).statusCode).toBe(403);
    expect(test.sandboxes.calls).toEqual([]);
  });

  it.each([
    [{}, "image is missing"],
    [{ image: "python", cpus: 0 }, "cpus"],
    [{ image: "python", env: ["A=1"] }, "env is not a known member"],
  ])("refuses %j", async (body, message) => {
    const answer = await send(body);
    expect(answer.json()).toMatchObject({
      statusCode: 400,
      message: expect.stringContaining(message),
    });
    expect(test.sandboxes.calls).toEqual([]);
  });

  it("is called off when its client goes away", async () => {
    const { sandboxes, port } = await listeningApp();
    const asked: AbortSignal[] = [];
    sandboxes.before.warm = (_request: WarmRequest, { signal }: StartOpts) => {
      asked.push(signal!);
      return new Promise(() => {});
    };
    const stop = new AbortController();
    const warmed = new MsbClient({ serverUrl: `http://127.0.0.1:${port}` }).warmImage(
      { image: "python" },
      { signal: stop.signal },
    );
    await expect.poll(() => asked.length).toBe(1);
    stop.abort();
    await expect(warmed).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
    await expect.poll(() => asked[0]?.aborted).toBe(true);
  });
});
