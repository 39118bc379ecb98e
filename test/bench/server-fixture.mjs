/** What benches of a server share: a server, and calls to it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Agent, request } from "undici";
import { onEnd } from "./ends.mjs";

const project = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const END_WITH_PARENT = pathToFileURL(join(project, "src/checkout/end-with-parent.mjs")).href;
/** The budgets go by the host, which is not what is measured here. */
export const NO_BUDGET = { MSB_VCPU_BUDGET: "128", MSB_MEMORY_BUDGET_MIB: "1000000" };
/** More than the slowest first code in the emulated KVM host; without an end to it a bench could hang. */
export const ANSWER_TIMEOUT_MS = 300_000;
const dispatcher = new Agent({
  headersTimeout: ANSWER_TIMEOUT_MS,
  bodyTimeout: ANSWER_TIMEOUT_MS,
  pipelining: 1,
});

/** A server that tells warnings only, or all to `onLine`. */
export async function startServer(home, driver, { env = {}, onLine } = {}) {
  const cli = join(project, "dist/cli/main.js");
  const settings = {
    ...process.env,
    MSB_HOME: home,
    MSB_HYPERVISOR: driver,
    MSB_LOG_LEVEL: onLine === undefined ? "warn" : "info",
    MSB_BOOT_TIMEOUT_MS: "120000",
    ...env,
  };
  return startProcess([cli, "server", "start", "--dev", "--port", "0"], settings, onLine);
}

/** A child that says where it listens; what it says on standard error is shown, or given to `onLine`. */
export async function startProcess(argv, env, onLine) {
  const child = spawn(process.execPath, ["--import", END_WITH_PARENT, ...argv], {
    cwd: project,
    env,
    stdio: ["ignore", "pipe", onLine === undefined ? "inherit" : "pipe", "ipc"],
    // A signal of the terminal is not for it: it is asked to end once, by this process.
    detached: true,
  });
  const closed = once(child, "close");
  if (onLine !== undefined) createInterface(child.stderr).on("line", onLine);
  onEnd(async () => {
    // The server would wait for requests that are under way.
    await dispatcher.destroy();
    child.kill("SIGTERM");
    await closed;
  });
  for await (const line of createInterface(child.stdout)) {
    const [, address] = /^Server listening on (\S+)$/.exec(line) ?? [];
    if (address !== undefined) {
      child.stdout.resume();
      return { url: `http://${address}`, pid: child.pid };
    }
  }
  throw new Error(`this did not listen: ${argv.join(" ")}`);
}

export async function call(server, path, body) {
  const { statusCode, body: answer } = await request(server.url + path, {
    dispatcher,
    ...(body === undefined
      ? {}
      : {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(body),
        }),
  });
  return { status: statusCode, body: await answer.json() };
}

export async function rpc(server, method, name, params = {}) {
  const body = {
    jsonrpc: "2.0",
    id: "1",
    method,
    params: { namespace: "bench", sandbox: name, ...params },
  };
  const answer = await call(server, "/api/v1/rpc", body);
  if (answer.status !== 200) throw new Error(`${method}: ${JSON.stringify(answer)}`);
  return answer.body.result;
}
