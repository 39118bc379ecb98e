/** What benches of a server share: a home with the test images, a server on it, calls, percentiles. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Agent, request } from "undici";
import { msbPaths } from "../../dist/paths.js";

const project = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0, pipelining: 1 });
/** Undone in reverse order by `end`. */
const ends = [() => dispatcher.close()];

export async function end() {
  for (const step of ends.splice(0).toReversed()) await step();
}

/** An MSB_HOME of its own, with the runtime and the images of the others. */
export function makeHome(store) {
  const path = fs.mkdtempSync(join(tmpdir(), "msb-bench-"));
  fs.mkdirSync(join(path, "images"));
  fs.symlinkSync(msbPaths().runtimeRoot, join(path, "runtime"));
  for (const name of ["blobs", "disks"]) {
    fs.symlinkSync(join(resolve(store), name), join(path, "images", name));
  }
  fs.cpSync(join(store, "tags"), join(path, "images/tags"), { recursive: true });
  ends.push(() => fs.rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A server that tells warnings only, or all to `onLine`. */
export async function startServer(home, driver, { env = {}, words = [], onLine } = {}) {
  const cli = join(project, "dist/cli/main.js");
  const settings = {
    ...process.env,
    MSB_HOME: home,
    MSB_HYPERVISOR: driver,
    MSB_LOG_LEVEL: onLine === undefined ? "warn" : "info",
    MSB_BOOT_TIMEOUT_MS: "120000",
    ...env,
  };
  return startProcess([cli, "server", "start", "--dev", "--port", "0", ...words], settings, onLine);
}

/** A child that says where it listens; what it says on standard error is shown, or given to `onLine`. */
export async function startProcess(argv, env, onLine) {
  const child = spawn(process.execPath, argv, {
    cwd: project,
    env,
    stdio: ["ignore", "pipe", onLine === undefined ? "inherit" : "pipe"],
  });
  const closed = once(child, "close");
  if (onLine !== undefined) createInterface(child.stderr).on("line", onLine);
  ends.push(async () => {
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

/** Milliseconds. */
export async function timed(work) {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

export function rssMiB(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;
}

export function percentile(samples, share) {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
