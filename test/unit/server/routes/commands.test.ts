import { Value } from "@sinclair/typebox/value";
import { beforeEach, describe, expect, it } from "vitest";
import { CommandRecord } from "../../../../src/api/commands.js";
import { MsbError } from "../../../../src/errors.js";
import type { CommandEvent } from "../../../../src/sandbox/service.js";
import { EXITED } from "../../../helpers/fake-sandboxes.js";
import { bearer, NAMESPACE_KEYS, type TestApp, testApp } from "../../../helpers/test-app.js";

const URL = "/api/v1/sandboxes/default/n1/commands";

let test: TestApp;
beforeEach(async () => {
  test = await testApp({ authenticator: NAMESPACE_KEYS });
  test.sandboxes.add("default", "n1");
});

function send(rest: object = {}, headers: Record<string, string> = {}) {
  return test.app.inject({
    method: "POST",
    url: URL,
    payload: { command: "ls", ...rest },
    headers: { ...bearer("*"), ...headers },
  });
}

async function records(rest: object = {}): Promise<unknown[]> {
  const { statusCode, body } = await send(rest);
  expect(statusCode).toBe(200);
  const lines = body.trimEnd().split("\n");
  const all: unknown[] = lines.map((line) => JSON.parse(line));
  expect(all.every((record) => Value.Check(CommandRecord, record))).toBe(true);
  return all;
}

function says(...output: ["stdout" | "stderr", string | number[]][]): void {
  const events = output.map(([type, data]): CommandEvent => {
    return { type, data: Buffer.from(data as string) };
  });
  test.sandboxes.stream = async function* () {
    yield* [...events, EXITED];
  };
}

describe("running a command", () => {
  it("streams one document a line", async () => {
    says(["stdout", "a\nb"], ["stderr", "no"], ["stdout", "c"]);
    expect(await records()).toEqual([
      { type: "stdout", text: "a\nb" },
      { type: "stderr", text: "no" },
      { type: "stdout", text: "c" },
      EXITED,
    ]);
    expect((await send()).headers).toMatchObject({
      "content-type": "application/x-ndjson; charset=utf-8",
      "cache-control": "no-store",
    });
  });

  it("streams server-sent events to who accepts them", async () => {
    const answer = await send({}, { accept: "text/event-stream, application/x-ndjson" });
    expect(answer.headers["content-type"]).toBe("text/event-stream; charset=utf-8");
    expect(answer.body).toBe(`:\n\nevent: end\ndata: ${JSON.stringify(EXITED)}\n\n`);
  });

  it("asks for what is asked for, and nothing else", async () => {
    await send();
    const wanted = { args: ["-l"], timeoutMs: 5, env: ["A=b"], workdir: "/w", user: "app" };
    await send({ ...wanted, stdin: "AP8=", encoding: "base64" });
    expect(test.sandboxes.calls.map(({ args }) => args)).toEqual([
      [
        { namespace: "default", name: "n1" },
        { command: "ls", args: [], timeoutMs: 0 },
        { signal: expect.any(AbortSignal) },
      ],
      [
        { namespace: "default", name: "n1" },
        { command: "ls", ...wanted, stdin: Buffer.from([0, 255]) },
        { signal: expect.any(AbortSignal) },
      ],
    ]);
  });

  it("has no signal when it goes on without its client", async () => {
    await send({ killOnDisconnect: false });
    expect(test.sandboxes.calls[0]?.args[2]).toEqual({});
  });

  describe("gives text", () => {
    it("whose characters are whole, each stream for itself", async () => {
      says(
        ["stdout", [0x61, 0xe2, 0x82]],
        ["stderr", [0xc3]],
        ["stdout", [0xac]],
        ["stderr", [0xa9, 0x62]],
      );
      expect(await records()).toEqual([
        { type: "stdout", text: "a" },
        { type: "stdout", text: "\u20ac" },
        { type: "stderr", text: "\u00e9b" },
        EXITED,
      ]);
    });

    it("with U+FFFD for what is no UTF-8, also at the end, and a byte order mark as it is", async () => {
      says(["stdout", [0xef, 0xbb, 0xbf, 0xff, 0x61]], ["stderr", [0xe2, 0x82]]);
      expect(await records()).toEqual([
        { type: "stdout", text: "\ufeff\ufffda" },
        { type: "stderr", text: "\ufffd" },
        EXITED,
      ]);
    });
  });

  it("gives bytes as Base64, piece by piece", async () => {
    says(["stdout", [0xe2, 0x82]], ["stderr", [0, 255]]);
    expect(await records({ encoding: "base64" })).toEqual([
      { type: "stdout", base64: "4oI=" },
      { type: "stderr", base64: "AP8=" },
      EXITED,
    ]);
  });

  it("has a status for what fails at once, and a last record for what fails later", async () => {
    const failure = new MsbError("MSB_ERR_EXEC_FAILED", "cannot be run", { details: { errno: 2 } });
    test.sandboxes.before.streamCommand = () => {
      throw failure;
    };
    expect((await send()).json()).toMatchObject({
      statusCode: 422,
      code: "MSB_ERR_EXEC_FAILED",
      details: { errno: 2 },
    });
    delete test.sandboxes.before.streamCommand;
    test.sandboxes.stream = async function* () {
      yield { type: "stdout", data: Buffer.from("a") };
      throw failure;
    };
    expect(await records()).toEqual([
      { type: "stdout", text: "a" },
      {
        type: "failure",
        error: { code: "MSB_ERR_EXEC_FAILED", message: "cannot be run", details: { errno: 2 } },
      },
    ]);
  });

  it.each([
    [{ command: "" }, "command"],
    [{ args: "-l" }, "args"],
    [{ timeoutMs: -1 }, "timeoutMs"],
    [{ env: ["A"] }, "env.0"],
    [{ encoding: "hex" }, "encoding must be one of"],
    [{ stdin: 5 }, "stdin"],
    [{ shell: true }, "shell is not a known member"],
  ])("refuses %j", async (rest, message) => {
    const answer = await send(rest);
    expect(answer.json()).toMatchObject({
      statusCode: 400,
      message: expect.stringContaining(message),
    });
  });

  it.each(["A", "AP8", "AP8=\n", "AP9=", "AP-_", "a b=", "===="])(
    "refuses input that is no Base64: %j",
    async (stdin) => {
      expect((await send({ stdin })).json()).toMatchObject({
        statusCode: 400,
        code: "MSB_ERR_INVALID_ARGUMENT",
        message: expect.stringContaining("stdin is no Base64"),
        details: { option: "stdin" },
      });
      expect(test.sandboxes.calls).toEqual([]);
    },
  );

  it("is for keys of the namespace alone", async () => {
    expect((await send({}, bearer("team"))).statusCode).toBe(403);
    expect((await send({}, bearer("default"))).statusCode).toBe(200);
    expect(test.sandboxes.calls).toHaveLength(1);
  });
});
