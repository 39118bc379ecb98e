import type { FastifyInstance } from "fastify";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { bearer, NAMESPACE_KEYS, testApp } from "../helpers/test-app.js";

const STATUSES = [200, 400, 401, 403, 404, 413, 415, 422, 500];

let app: FastifyInstance;
let log: string[];
beforeEach(async () => {
  const test = await testApp({ authenticator: NAMESPACE_KEYS });
  ({ app, log } = test);
  test.sandboxes.add("default", "n1");
});

const method = fc.constantFrom(
  "sandbox.start",
  "sandbox.stop",
  "sandbox.metrics.get",
  "sandbox.repl.run",
  "sandbox.command.run",
  "__proto__",
);
const anything = fc.jsonValue({ maxDepth: 3 });
const either = (...usual: unknown[]) => fc.oneof(fc.constantFrom(...usual), anything);
const params = fc.record(
  {
    namespace: either("default", "*", "team"),
    sandbox: either("n1", "n2"),
    config: either({ image: "python" }, null),
    language: either("python", "nodejs"),
    code: either("1"),
    command: either("ls"),
    args: either([], ["a"]),
    timeout: either(0, 5, null),
  },
  { requiredKeys: [] },
);
const envelope = fc.record(
  {
    jsonrpc: either("2.0"),
    method: fc.oneof(method, anything),
    params: fc.oneof(params, anything),
    id: anything,
  },
  { requiredKeys: [] },
);

/** What is wrong with the answer, whatever was asked. */
async function problems(payload: string, key: string): Promise<string[]> {
  const headers = { ...bearer(key), "content-type": "application/json" };
  const answer = await app.inject({ method: "POST", url: "/api/v1/rpc", payload, headers });
  const members = answer.statusCode === 200 ? Object.keys(answer.json<object>()) : ["result"];
  return [
    ...(STATUSES.includes(answer.statusCode) ? [] : [`status ${answer.statusCode}`]),
    ...(answer.body === "" ? ["no body"] : []),
    ...(members.includes("error") ? ["a success with an error"] : []),
    ...(members.includes("result") ? [] : ["a success without a result"]),
    ...log.filter((line) => line.includes("nobody thought of")),
  ];
}

describe("JSON-RPC", () => {
  const key = fc.constantFrom("*", "default", "team");

  it("answers every request as the contract says, and is never surprised", async () => {
    await fc.assert(
      fc.asyncProperty(envelope, key, async (request, namespace) => {
        expect(await problems(JSON.stringify(request), namespace)).toEqual([]);
      }),
      { numRuns: 1_000 },
    );
  });

  it("answers every text", async () => {
    const text = fc.oneof(fc.string(), fc.json({ maxDepth: 5 }), fc.string({ unit: "binary" }));
    await fc.assert(
      fc.asyncProperty(text, key, async (payload, namespace) => {
        expect(await problems(payload, namespace)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
});
