// @ts-check
/**
 * An agent: a model that asks for tools, and a loop that calls them over MCP until the model has its answer. The model
 * is a script, so that it needs no key and says the same each time; put yours in the place of `askModel`.
 *
 *   msb-ts server start --dev            in another terminal
 *   npm install @modelcontextprotocol/sdk
 *   node docs/examples/mcp-agent.mjs
 */
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

/**
 * @typedef {{ name: string, arguments: Record<string, unknown> }} ToolCall
 * @typedef {{ call: ToolCall, text: string }} ToolResult
 */

const MAX_TURNS = 10;
const TASK = "Which of the first 50 Fibonacci numbers is the largest prime?";
const WHERE = { sandbox: `agent-${process.pid}`, namespace: "default" };

const { MSB_SERVER_URL = "http://127.0.0.1:5555", MSB_API_KEY } = process.env;
/** @type {Record<string, string>} */
const headers = MSB_API_KEY ? { authorization: `Bearer ${MSB_API_KEY}` } : {};
const transport = new StreamableHTTPClientTransport(new URL("/mcp", MSB_SERVER_URL), {
  requestInit: { headers },
});
const client = new Client({ name: "mcp-agent", version: "1.0.0" });
await client.connect(transport);
try {
  const { tools } = await client.listTools();
  console.log("tools:", tools.map(({ name }) => name).join(", "));
  await callTool({
    name: "sandbox_start",
    arguments: { ...WHERE, config: { image: "python", memory: 512 } },
  });
  console.log("task:", TASK);
  console.log("answer:", await solve());
} finally {
  await client.close();
  await removeSandbox();
}

/** The tool `sandbox_stop` keeps its files for the next start, and this one has none. */
async function removeSandbox() {
  const path = `/api/v1/sandboxes/${WHERE.namespace}/${WHERE.sandbox}?force=true`;
  const answer = await fetch(new URL(path, MSB_SERVER_URL), { method: "DELETE", headers });
  // 404: it was never there.
  if (!answer.ok && answer.status !== 404) console.error("not removed:", await answer.text());
}

/** The loop. What is known so far goes to the model with every turn. */
async function solve() {
  /** @type {ToolResult[]} */
  const results = [];
  for (let turn = 0; turn < MAX_TURNS; turn += 1) {
    const step = await askModel(results);
    if (typeof step === "string") return step;
    console.log(`> ${step.name}: ${JSON.stringify(step.arguments["code"])}`);
    const text = await callTool(step);
    console.log(text.trimEnd().replaceAll(/^/gm, "  "));
    results.push({ call: step, text });
  }
  throw new Error(`No answer after ${MAX_TURNS} turns`);
}

/**
 * Text of the tool's result. What the code did wrong is for the model to read; what the tool cannot do is an error.
 *
 * @param {ToolCall} call
 */
async function callTool(call) {
  // An image that is to be fetched takes long.
  const result = await client.callTool(call, undefined, { timeout: 300_000 });
  const content = /** @type {{ type: string, text?: string }[]} */ (result.content);
  const text = content.map((part) => part.text ?? `[${part.type}]`).join("\n");
  if (result.isError && call.name !== "sandbox_run_code") throw new Error(text);
  return text;
}

/**
 * Stands for the model: forgets an import first, as models do, reads the error, mends it, and reads the number.
 *
 * @param {readonly ToolResult[]} results
 * @returns {Promise<ToolCall | string>} a tool to call, or the answer
 */
async function askModel(results) {
  const code = (/** @type {string} */ text) => ({
    name: "sandbox_run_code",
    arguments: { ...WHERE, language: "python", timeout: 60, code: text },
  });
  const last = results.at(-1);
  if (last === undefined) {
    return code(`
def is_prime(n):
    return n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))

def fibonacci(count):
    a, b = 0, 1
    for _ in range(count):
        yield a
        a, b = b, a + b

max(filter(is_prime, fibonacci(50)))`);
  }
  // Functions of the run before are still there.
  if (last.text.includes("NameError")) {
    return code("import math\nmax(filter(is_prime, fibonacci(50)))");
  }
  const number = /\d{4,}/.exec(last.text)?.[0];
  if (number === undefined) throw new Error(`No number in: ${last.text}`);
  return `It is ${number}.`;
}
