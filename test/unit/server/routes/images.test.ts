import { Value } from "@sinclair/typebox/value";
import { beforeEach, describe, expect, it } from "vitest";
import { ImageList, InspectedImageView, PullRecord } from "../../../../src/api/images.js";
import { MsbError } from "../../../../src/errors.js";
import type { OnProgress } from "../../../../src/util/progress.js";
import { bearer, NAMESPACE_KEYS, type TestApp, testApp } from "../../../helpers/test-app.js";

const URL = "/api/v1/images";

let test: TestApp;
beforeEach(async () => {
  test = await testApp({ authenticator: NAMESPACE_KEYS });
});

function send(
  method: "GET" | "POST" | "DELETE",
  url: string,
  opts: { payload?: object; key?: string; accept?: string } = {},
) {
  const { payload, key = "*", accept = "application/json" } = opts;
  const headers = { ...bearer(key), accept };
  return test.app.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) });
}

describe("images", () => {
  it("are listed for any key, without paths of the host", async () => {
    const answer = await send("GET", URL, { key: "team" });
    expect(Value.Check(ImageList, answer.json())).toBe(true);
    expect(answer.json()).toMatchObject({ images: [{ diskBytes: 81e6 }] });
    expect(answer.body).not.toContain("/home/user");
  });

  it("are shown by a name with slashes, encoded or not", async () => {
    for (const name of ["docker.io/library/python:3.12", "docker.io%2Flibrary%2Fpython%3A3.12"]) {
      const answer = await send("GET", `${URL}/${name}`, { key: "team" });
      expect(answer.json()).toMatchObject({ names: ["docker.io/library/python:3.12"] });
      expect(Value.Check(InspectedImageView, answer.json())).toBe(true);
      expect(answer.body).not.toContain("/home/user");
    }
    expect((await send("GET", `${URL}/nope`)).json()).toMatchObject({
      statusCode: 404,
      code: "MSB_ERR_IMAGE_NOT_FOUND",
    });
  });

  it("are removed", async () => {
    test.images.removed = { names: ["a"], digests: [], freedBytes: 5 };
    const answer = await send("DELETE", `${URL}/docker.io/library/python:3.12?force=true`);
    expect(answer.json()).toEqual({ names: ["a"], digests: [], freedBytes: 5 });
    expect(test.images.calls).toEqual([
      { method: "remove", args: [["docker.io/library/python:3.12"], { force: true }] },
    ]);
  });

  it("are changed by keys for all namespaces only", async () => {
    const payload = { reference: "python" };
    expect((await send("POST", `${URL}/pull`, { payload, key: "team" })).statusCode).toBe(403);
    expect((await send("DELETE", `${URL}/python`, { key: "team" })).statusCode).toBe(403);
    expect(test.images.calls).toEqual([]);
  });
});

describe("POST /api/v1/images/pull", () => {
  const payload = { reference: "python:3.12" };

  it("answers with the image when it is there", async () => {
    const answer = await send("POST", `${URL}/pull`, { payload });
    expect(answer.statusCode).toBe(200);
    expect(answer.json()).toMatchObject({ diskBytes: 81e6 });
    expect(test.images.calls[0]?.args[0]).toBe("python:3.12");
  });

  it("tells line by line how far it is", async () => {
    test.images.before["pull"] = async (_name, opts) => {
      const { onProgress } = opts as { onProgress: OnProgress };
      const task = { id: "layer", label: "layer 1", totalBytes: 30 };
      onProgress({ ...task, state: "running", doneBytes: 10 });
      onProgress({ ...task, state: "running", doneBytes: 20 });
      await new Promise((resolve) => setTimeout(resolve, 20));
      onProgress({ ...task, state: "done", doneBytes: 30 });
    };
    const answer = await send("POST", `${URL}/pull`, { payload, accept: "application/x-ndjson" });
    expect(answer.headers["content-type"]).toMatch(/^application\/x-ndjson/);
    const records = answer.body
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(records.every((record) => Value.Check(PullRecord, record))).toBe(true);
    // What nobody took in time is left out.
    expect(records).toMatchObject([
      { type: "progress", progress: { doneBytes: 20 } },
      { type: "progress", progress: { doneBytes: 30 } },
      { type: "done", image: { diskBytes: 81e6 } },
    ]);
  });

  it("tells it as server-sent events", async () => {
    const answer = await send("POST", `${URL}/pull`, { payload, accept: "text/event-stream" });
    expect(answer.headers["content-type"]).toBe("text/event-stream; charset=utf-8");
    const [, data = ""] = /^:\n\nevent: done\ndata: (.*)\n\n$/.exec(answer.body) ?? [];
    expect(Value.Check(PullRecord, JSON.parse(data))).toBe(true);
  });

  it("has a status for what fails at once, and a last line for what fails later", async () => {
    const failure = new MsbError("MSB_ERR_REGISTRY_AUTH", "not for you");
    test.images.before["pull"] = async () => {
      throw failure;
    };
    const atOnce = await send("POST", `${URL}/pull`, { payload, accept: "application/x-ndjson" });
    expect(atOnce.json()).toMatchObject({ statusCode: 502, code: "MSB_ERR_REGISTRY_AUTH" });
    test.images.before["pull"] = async (_name, opts) => {
      const { onProgress } = opts as { onProgress: OnProgress };
      onProgress({ id: "a", label: "a", state: "running", doneBytes: 0, totalBytes: null });
      await new Promise((resolve) => setTimeout(resolve, 20));
      throw failure;
    };
    const later = await send("POST", `${URL}/pull`, { payload, accept: "application/x-ndjson" });
    expect(later.statusCode).toBe(200);
    expect(JSON.parse(later.body.trimEnd().split("\n").at(-1)!)).toEqual({
      type: "failure",
      error: { code: "MSB_ERR_REGISTRY_AUTH", message: "not for you", details: {} },
    });
  });
});
