/* oxlint-disable no-console -- what it says is for people */
/**
 * An image from a registry on loopback to something that can be started: `msb-ts image pull` against skopeo and
 * umoci, and against the floors of moving the same bytes. Rounds alternate; medians are compared.
 *
 *   node test/bench/image.mjs [--image NAME] [--rounds N] [--json FILE]
 *
 * Needs root, for umoci's owners and devices.
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
import { end, makeScratch, onEnd } from "./ends.mjs";
import { ratio, spreads, timed } from "./samples.mjs";

const project = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const { values: args } = parseArgs({
  options: {
    image: { type: "string", default: "python" },
    rounds: { type: "string", default: "3" },
    json: { type: "string" },
  },
});
const scratch = makeScratch();
const stop = new AbortController();
onEnd(() => stop.abort());
try {
  const registry = await startRegistry();
  const layers = await publish(registry);
  const figures = { floorMs: [], pullMs: [], skopeoMs: [] };
  let pulled;
  for (let n = 0; n < Number(args.rounds); n += 1) {
    figures.floorMs.push(await timed(() => moveBytes(registry, layers)));
    figures.pullMs.push(await timed(async () => (pulled = await pull(registry))));
    figures.skopeoMs.push(await timed(() => unpackWithSkopeo(registry)));
    figures.floorMs.push(await timed(() => moveBytes(registry, layers)));
  }
  report(spreads(figures), pulled);
} finally {
  await end();
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

/** A new process and a new MSB_HOME, as on a machine that has never seen the image. */
async function pull(registry) {
  const home = fs.mkdtempSync(join(scratch, "home-"));
  const program = `
    const { Images } = await import(${JSON.stringify(join(project, "dist/oci/images.js"))});
    const images = await Images.open();
    const { disk } = await images.pull("${registry}/image:latest");
    console.log(JSON.stringify({ disk, rssMiB: process.resourceUsage().maxRSS / 1024 }));`;
  const output = await run(process.execPath, ["--input-type=module", "-e", program], {
    MSB_HOME: home,
  });
  fs.rmSync(home, { recursive: true });
  return JSON.parse(output);
}

async function unpackWithSkopeo(registry) {
  const dir = fs.mkdtempSync(join(scratch, "skopeo-"));
  const source = `docker://${registry}/image:latest`;
  await run("skopeo", [
    "copy",
    "--quiet",
    "--src-tls-verify=false",
    source,
    `oci:${dir}/layout:latest`,
  ]);
  await run("umoci", ["unpack", "--image", `${dir}/layout:latest`, join(dir, "bundle")]);
  fs.rmSync(dir, { recursive: true });
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

function report({ floorMs, pullMs, skopeoMs }, { rssMiB, disk }) {
  const result = {
    image: args.image,
    diskBytes: disk.sizeBytes,
    floorMs,
    pullMs,
    skopeoMs,
    toFloor: ratio(pullMs, floorMs),
    toSkopeo: ratio(pullMs, skopeoMs),
    rssMiB,
  };
  console.log(JSON.stringify(result, null, 2));
  if (args.json) fs.writeFileSync(args.json, JSON.stringify(result));
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
