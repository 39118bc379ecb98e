/** Messages from anybody to `/mcp`: every one is answered, and none is the server's fault. */
import Fastify from "fastify";
import fc from "fast-check";
import { expect, it, onTestFinished } from "vitest";
import { mcpRoutes } from "../../src/server/mcp/routes.js";
import { authPlugin } from "../../src/server/plugins/auth.js";
import { fakeSandbox } from "../helpers/fake-sandboxes.js";
import { scriptedSandboxes } from "../helpers/scripted-sandboxes.js";

const RUNS = Math.ceil(Number(process.env["MSB_FUZZ_RUNS"] ?? 20_000) / 20);

const name = fc.oneof(
  fc.constantFrom(
    ...["sandbox_start", "sandbox_stop", "sandbox_run_code", "sandbox_run_command"],
    ...["sandbox_get_metrics", "create_python_sandbox", "toString", "__proto__"],
  ),
  fc.anything(),
);
const word = fc.oneof(
  fc.constantFrom("n1", "default", "*", "../x", "python", "nodejs"),
  fc.anything(),
);
const args = fc.oneof(
  fc.record(
    {
      sandbox: word,
      namespace: word,
      code: word,
      language: word,
      command: word,
      args: fc.oneof(fc.array(word), word),
      config: fc.oneof(fc.record({ image: word, memory: word, ports: word }), word),
      timeout: fc.oneof(fc.integer(), fc.anything()),
      sandbox_name: word,
    },
    { requiredKeys: [] },
  ),
  fc.anything(),
);
const message = fc.record(
  {
    jsonrpc: fc.constant("2.0"),
    id: fc.oneof(fc.integer(), fc.string(), fc.constant(null), fc.anything()),
    method: fc.oneof(
      fc.constantFrom(
        ...["initialize", "ping", "tools/list", "tools/call", "tools/call", "prompts/get"],
        ...[
          "notifications/initialized",
          "notifications/cancelled",
          "tasks/get",
          "logging/setLevel",
        ],
      ),
      fc.string(),
    ),
    params: fc.oneof(fc.record({ name, arguments: args }), fc.anything()),
  },
  { requiredKeys: ["jsonrpc"] },
);
const body = fc
  .oneof(message, message, fc.array(message, { maxLength: 4 }), fc.anything())
  .map((value) => JSON.stringify(value) ?? "null");

it("whatever is sent is answered with JSON or with nothing, and never with a failure of ours", async () => {
  const app = Fastify();
  onTestFinished(() => app.close());
  const sandboxes = scriptedSandboxes({
    start: async (key) => fakeSandbox(key),
    stop: async (key) => fakeSandbox(key),
    runCommand: async () => ({ exitCode: 0, signal: null, oomKilled: false, lines: [] }),
    // oxlint-disable-next-line require-yield -- it has no output
    runCode: async function* () {},
    hasNamespace: () => true,
    list: () => [],
    metrics: async () => {
      throw new Error("of the test");
    },
  });
  await app.register(authPlugin, { authenticator: null });
  await app.register(mcpRoutes, { sandboxes, serverVersion: "0", maxOutputBytes: 1000 });
  let results = 0;
  await fc.assert(
    fc.asyncProperty(body, async (text) => {
      const response = await app.inject({
        method: "POST",
        url: "/mcp",
        headers: { "content-type": "application/json" },
        body: text,
      });
      expect([200, 202, 400]).toContain(response.statusCode);
      const isAnswer = response.statusCode !== 202;
      expect(response.body !== "").toBe(isAnswer);
      expect(isAnswer ? response.json() : {}).toBeTypeOf("object");
      if (response.body.includes('"result"')) results += 1;
    }),
    { numRuns: RUNS },
  );
  expect(results).toBeGreaterThan(RUNS / 100);
  // Nothing that is no name came as far as the sandboxes.
  const keys = sandboxes.calls
    .filter(([method]) => method === "start" || method === "stop")
    .map(([, key]) => Object.values(key as object).join("/"));
  expect(keys.filter((key) => !/^[\w-]+\/[\w-]+$/.test(key))).toEqual([]);
});
