/**
 * A server for a while: on a free port, with sandboxes of its own, beside any other that runs here. It shares the
 * runtime, the disks and the images of MSB_HOME, and goes with the process that started it.
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { CLI } from "./cli.mjs";
import { project } from "./prepare.mjs";

/** It stops its microVMs first. */
const GRACE_MS = 45_000;
const PRELOAD = pathToFileURL(join(project, "src/checkout/end-with-parent.mjs")).href;

export class OwnServer {
  constructor(home, url, server) {
    this.home = home;
    this.url = url;
    this.server = server;
  }

  static async start(children) {
    const home = await makeHome();
    try {
      const { url, server } = await startServer(children, home);
      return new OwnServer(home, url, server);
    } catch (error) {
      rmSync(home, { recursive: true, force: true });
      throw error;
    }
  }

  /** Returns when it and its microVMs are gone. */
  async stop() {
    this.server.stop("SIGTERM");
    const code = await this.server.ended;
    await endVms(this.home);
    rmSync(this.home, { recursive: true, force: true });
    return code;
  }
}

/** A server that was killed leaves its microVMs to the next one, and here there is none. */
async function endVms(home) {
  const dist = (path) => import(pathToFileURL(join(project, "dist", path)).href);
  const { msbPaths } = await dist("paths.js");
  const { runningVms } = await dist("hypervisor/vm-folder.js");
  const { VmProcess } = await dist("hypervisor/vm-process.js");
  const { loadNative } = await dist("native/binding.js");
  const paths = msbPaths(home);
  for (const id of await runningVms(paths.vmRoot)) {
    const vm = await VmProcess.adopt(loadNative(), id, paths);
    if (!("ended" in vm)) await vm.stop();
  }
}

async function makeHome() {
  const { msbPaths } = await import(pathToFileURL(join(project, "dist/paths.js")).href);
  const { runtimeRoot, diskCacheDir, imageRoot } = msbPaths();
  // Its name is short, for the paths of the unix sockets in it.
  const home = mkdtempSync(join(tmpdir(), "msb-q-"));
  for (const path of [runtimeRoot, diskCacheDir, imageRoot]) {
    mkdirSync(path, { recursive: true });
    symlinkSync(path, join(home, basename(path)));
  }
  return home;
}

async function startServer(children, home) {
  const args = ["--import", PRELOAD, CLI, "server", "start", "--dev", "--port", "0"];
  const server = children.start(process.execPath, args, {
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: { MSB_HOME: home, MSB_HOST: "127.0.0.1" },
    signals: "leader",
    graceMs: GRACE_MS,
  });
  // Only its end counts; the channel is to keep nobody waiting.
  server.child.channel.unref();
  return { server, url: await addressOf(server) };
}

function addressOf({ child, ended }) {
  return new Promise((resolve, reject) => {
    let log = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        log = (log + text).slice(-16_384);
        const address = /^Server listening on (\S+)$/m.exec(log)?.[1];
        if (address !== undefined) resolve(`http://${address}`);
      });
    }
    ended.then((code) => {
      reject(new Error(`the server ended while it started (${code}):\n${log.trimEnd()}`));
    }, reject);
  });
}
