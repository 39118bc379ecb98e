import { Value } from "@sinclair/typebox/value";
import { beforeEach, describe, expect, it } from "vitest";
import { RunRecord } from "../../../../src/api/code.js";
import { MsbError } from "../../../../src/errors.js";
import type { RunEvent } from "../../../../src/kernel/run-types.js";
import type { LogEntry } from "../../../../src/sandbox/service.js";
import { END } from "../../../helpers/fake-sandboxes.js";
import { type TestApp, testApp } from "../../../helpers/test-app.js";

const ONE = "/api/v1/sandboxes/default/n1";

let test: TestApp;
beforeEach(async () => {
  test = await testApp();
  test.sandboxes.add("default", "n1");
});

describe("running code", () => {
  const run = (rest: object = {}, accept?: string) =>
    test.app.inject({
      method: "POST",
      url: `${ONE}/run`,
      payload: { language: "python", code: "1", ...rest },
      headers: accept === undefined ? {} : { accept },
    });
  const events: RunEvent[] = [
    { type: "stdout", text: "a\n" },
    { type: "result", result: { isValue: true, text: "2" } },
    END,
  ];

  it("streams one document a line", async () => {
    test.sandboxes.run = async function* () {
      yield* events;
    };
    const answer = await run({ timeoutMs: 50, contextId: "c1" });
    expect(answer.headers).toMatchObject({
      "content-type": "application/x-ndjson; charset=utf-8",
      "cache-control": "no-store",
    });
    const records = answer.body
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(records).toEqual(events);
    expect(records.every((record) => Value.Check(RunRecord, record))).toBe(true);
    expect(test.sandboxes.calls[0]?.args[1]).toEqual({
      language: "python",
      code: "1",
      timeoutMs: 50,
      contextId: "c1",
    });
  });

  it("streams server-sent events to who accepts them", async () => {
    const answer = await run({}, "text/event-stream, */*");
    expect(answer.headers["content-type"]).toBe("text/event-stream; charset=utf-8");
    expect(answer.body).toBe(`:\n\nevent: end\ndata: ${JSON.stringify(END)}\n\n`);
  });

  it("has a status for what fails at once, and a last record for what fails later", async () => {
    test.sandboxes.before.runCode = () => {
      throw new MsbError("MSB_ERR_CONTEXT_NOT_FOUND", "no such context");
    };
    expect((await run()).json()).toMatchObject({ statusCode: 404, message: "no such context" });
    delete test.sandboxes.before.runCode;
    test.sandboxes.run = async function* () {
      yield { type: "stdout", text: "a" };
      throw new Error("secret");
    };
    const answer = await run();
    expect(answer.statusCode).toBe(200);
    expect(JSON.parse(answer.body.trimEnd().split("\n")[1]!)).toMatchObject({
      type: "failure",
      error: { code: "MSB_ERR_INTERNAL" },
    });
    expect(answer.body).not.toContain("secret");
  });

  it.each([
    [{ language: "ruby" }, "language must be one of"],
    [{ code: 1 }, "code"],
    [{ timeoutMs: -1 }, "timeoutMs"],
    [{ timeout: 1 }, "timeout is not a known member"],
  ])("refuses %j", async (rest, message) => {
    expect((await run(rest)).json()).toMatchObject({
      statusCode: 400,
      message: expect.stringContaining(message),
    });
  });
});

describe("logs", () => {
  const event = (seq: number): LogEntry => ({
    source: "events",
    event: { seq, at: "2026-01-01T00:00:00Z", type: "running", message: "It runs." },
  });
  const line: LogEntry = { source: "console", text: "Linux" };
  const get = (query = "", headers: Record<string, string> = {}) =>
    test.app.inject({ method: "GET", url: `${ONE}/logs${query}`, headers });

  beforeEach(() => {
    test.sandboxes.log(event(1), line, event(2));
  });

  it("are a list, of both sources or one", async () => {
    expect((await get()).json()).toEqual([event(1), line, event(2)]);
    expect((await get("?source=console")).json()).toEqual([line]);
    expect((await get("?source=events&source=console")).json()).toHaveLength(3);
    expect((await get("?source=nope")).statusCode).toBe(400);
  });

  it("are events for who accepts them, from where it stopped", async () => {
    const accept = { accept: "text/event-stream" };
    const all = await get("?source=events", accept);
    expect(all.body.match(/^id: \d+$/gm)).toEqual(["id: 1", "id: 2"]);
    const rest = await get("", { ...accept, "last-event-id": "1" });
    expect(rest.body).toBe(
      `:\n\nevent: console\ndata: {"text":"Linux"}\n\nid: 2\nevent: events\ndata: ${JSON.stringify(
        (event(2) as { event: object }).event,
      )}\n\n`,
    );
  });

  it("of a sandbox that is not there are 404, as list and as stream", async () => {
    test.sandboxes.stored.clear();
    expect((await get()).statusCode).toBe(404);
    expect((await get("?follow=true")).statusCode).toBe(404);
  });

  it("are not followed for who asks for the headers alone", async () => {
    const url = `${ONE}/logs?follow=true`;
    const answer = await test.app.inject({ method: "HEAD", url });
    expect([answer.statusCode, answer.body]).toEqual([200, ""]);
    expect(answer.headers["content-type"]).toBe("text/event-stream; charset=utf-8");
    expect(test.sandboxes.open).toBe(0);
  });

  it("that are followed end when the server closes", async () => {
    const following = get("?follow=true&source=events").then(({ body }) => body);
    await expect.poll(() => test.sandboxes.open).toBe(1);
    test.sandboxes.log(event(3));
    await test.app.close();
    expect(await following).toContain("id: 3");
    expect(test.sandboxes.open).toBe(0);
  });
});
