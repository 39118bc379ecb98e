/* oxlint-disable no-console -- what it says is for people */
/**
 * An image from a registry on loopback to a disk that can be started: `msb-ts image pull` against skopeo, umoci and
 * mkfs.erofs, and against the floor of moving the same bytes; and the step from stored layers to the disk against umoci
 * and mkfs.erofs. Rounds alternate; medians are compared.
 *
 *   node test/bench/image.mjs [--image NAME] [--rounds N] [--json FILE]
 *
 * NAME is a recipe, which is built if its image is not there: with mmdebstrap, from a mirror of Debian. Needs root, for
 * umoci's owners and devices, and the programs of TOOLS.
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import * as fs from "node:fs";
import { get } from "node:http";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { createGunzip } from "node:zlib";
import { Images } from "../../dist/oci/images.js";
import { findExecutable } from "../../dist/util/process.js";
import { end, makeScratch, onEnd } from "./ends.mjs";
import { writeResult } from "./result.mjs";
import { ratio, spreads, timed } from "./samples.mjs";

const project = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const { values: args } = parseArgs({
  options: {
    image: { type: "string", default: "python" },
    rounds: { type: "string", default: "3" },
    json: { type: "string" },
  },
});
/** Debian's packages docker-registry, skopeo, umoci and erofs-utils. */
const TOOLS = ["docker-registry", "skopeo", "umoci", "mkfs.erofs"];
const IMAGES = JSON.stringify(join(project, "dist/oci/images.js"));
const scratch = makeScratch();
const stop = new AbortController();
onEnd(() => stop.abort());
try {
  await checkTools();
  const registry = await startRegistry();
  const layers = await publish(registry);
  const figures = { floorMs: [], pullMs: [], diskMs: [], peerMs: [], peerDiskMs: [] };
  let pulled;
  for (let n = 0; n < Number(args.rounds); n += 1) {
    figures.floorMs.push(await timed(() => moveBytes(registry, layers)));
    pulled = await pull(registry);
    figures.pullMs.push(pulled.ms);
    figures.diskMs.push(pulled.diskMs);
    const peer = await pullWithPeers(registry);
    figures.peerMs.push(peer.ms);
    figures.peerDiskMs.push(peer.diskMs);
    figures.floorMs.push(await timed(() => moveBytes(registry, layers)));
  }
  report(spreads(figures), pulled);
} finally {
  await end();
}

async function checkTools() {
  const found = await Promise.all(TOOLS.map((tool) => findExecutable(tool)));
  const missing = TOOLS.filter((_, index) => found[index] === undefined);
  if (missing.length > 0) throw new Error(`this bench needs ${missing.join(", ")}`);
}

/** Builds the recipe if it is not there, and puts it into the registry with a tool that is not ours. */
async function publish(registry) {
  const recipe = args.image;
  const images = await Images.open();
  const built = await images.inspect(`msb-ts/${recipe}`).catch(() => images.build(recipe));
  const layout = join(scratch, "layout");
  await images.save([`msb-ts/${recipe}`], layout, { format: "oci-dir" });
  await images[Symbol.asyncDispose]();
  const target = `docker://${registry}/image:latest`;
  await run("skopeo", ["copy", "--quiet", "--dest-tls-verify=false", `oci:${layout}`, target]);
  fs.rmSync(layout, { recursive: true });
  return built.layers.map(({ descriptor }) => descriptor);
}

/** A new MSB_HOME, as on a machine that has never seen the image; then once more without the disk. */
async function pull(registry) {
  const home = fs.mkdtempSync(join(scratch, "home-"));
  const image = `${registry}/image:latest`;
  let pulled;
  const ms = await timed(async () => (pulled = await inNewProcess(home, `pull("${image}")`)));
  fs.rmSync(pulled.disk.path);
  const ensure = `ensure("${image}", { pullPolicy: "never" })`;
  const diskMs = await timed(() => inNewProcess(home, ensure));
  fs.rmSync(home, { recursive: true });
  return { ...pulled, ms, diskMs };
}

/** What a call of `Images` gives there. */
async function inNewProcess(home, call) {
  const program = `
    const { Images } = await import(${IMAGES});
    const images = await Images.open();
    const { disk } = await images.${call};
    console.log(JSON.stringify({ disk, rssMiB: process.resourceUsage().maxRSS / 1024 }));`;
  const output = await run(process.execPath, ["--input-type=module", "-e", program], {
    MSB_HOME: home,
  });
  return JSON.parse(output);
}

async function pullWithPeers(registry) {
  const dir = fs.mkdtempSync(join(scratch, "peers-"));
  const source = `docker://${registry}/image:latest`;
  const layout = `${dir}/layout:latest`;
  const bundle = join(dir, "bundle");
  const copy = ["copy", "--quiet", "--src-tls-verify=false", source, `oci:${layout}`];
  const copyMs = await timed(() => run("skopeo", copy));
  const diskMs = await timed(async () => {
    await run("umoci", ["unpack", "--image", layout, bundle]);
    await run("mkfs.erofs", ["--quiet", join(dir, "disk"), join(bundle, "rootfs")]);
  });
  fs.rmSync(dir, { recursive: true });
  return { ms: copyMs + diskMs, diskMs };
}

/** The floor: the layers over HTTP to a file, and from there decompressed to another, both synced. */
async function moveBytes(registry, layers) {
  const dir = fs.mkdtempSync(join(scratch, "floor-"));
  for (const { digest } of layers) {
    const [packed, plain] = [join(dir, "packed"), join(dir, "plain")];
    const url = `http://${registry}/v2/image/blobs/${digest}`;
    const response = await new Promise((done, reject) => get(url, done).on("error", reject));
    await pipeline(response, createWriteStream(packed, { flush: true }));
    await pipeline(
      createReadStream(packed),
      createGunzip(),
      createWriteStream(plain, { flush: true }),
    );
  }
  fs.rmSync(dir, { recursive: true });
}

function report(times, { rssMiB, disk }) {
  const result = {
    image: args.image,
    diskBytes: disk.sizeBytes,
    ...times,
    toFloor: ratio(times.pullMs, times.floorMs),
    toPeer: ratio(times.pullMs, times.peerMs),
    diskToPeer: ratio(times.diskMs, times.peerDiskMs),
    rssMiB,
  };
  writeResult(result, args.json);
}

/** Its host and port. */
async function startRegistry() {
  const address = `127.0.0.1:${await freePort()}`;
  const config = join(scratch, "registry.yml");
  fs.writeFileSync(
    config,
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${scratch}/registry}}\n` +
      `http: {addr: "${address}"}\n`,
  );
  const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  const closed = once(child, "close");
  onEnd(async () => {
    child.kill("SIGTERM");
    await closed;
  });
  for (let left = 100; left > 0; left -= 1) {
    const isUp = await fetch(`http://${address}/v2/`).then(
      () => true,
      () => false,
    );
    if (isUp) return address;
    await sleep(50);
  }
  throw new Error("the registry did not start");
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** What the program printed. */
async function run(command, list, env = {}) {
  const { stdout } = await promisify(execFile)(command, list, {
    env: { ...process.env, ...env },
    signal: stop.signal,
  });
  return stdout;
}
