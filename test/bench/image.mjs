/* oxlint-disable no-console -- what it says is for people */
/**
 * An image from a registry on loopback to something that can be started: `msb-ts image pull` against skopeo and
 * umoci, and against the floors of moving the same bytes. Rounds alternate; medians are compared.
 *
 *   node test/bench/image.mjs [--image NAME] [--rounds N] [--json FILE]
 *
 * Needs root, for umoci's owners and devices.
 */
import { execFileSync, spawn } from "node:child_process";
import { createReadStream, createWriteStream } from "node:fs";
import * as fs from "node:fs";
import { get } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createGunzip } from "node:zlib";
import { Images } from "../../dist/oci/images.js";

const project = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const { values: args } = parseArgs({
  options: {
    image: { type: "string", default: "python" },
    rounds: { type: "string", default: "3" },
    json: { type: "string" },
  },
});
const scratch = fs.mkdtempSync(join(tmpdir(), "msb-bench-image-"));
const registry = await startRegistry();
try {
  const layers = await publish(args.image);
  const figures = { floor: [], pull: [], skopeo: [], copy: [] };
  let rssMiB = 0;
  let disk;
  for (let round = 0; round < Number(args.rounds); round += 1) {
    figures.floor.push(await timed(() => moveBytes(layers)));
    figures.pull.push(
      await timed(() => {
        ({ rssMiB, disk } = pull());
      }),
    );
    figures.skopeo.push(await timed(unpackWithSkopeo));
    figures.copy.push(await timed(() => moveBytes(layers)));
  }
  report(figures, { rssMiB, disk });
} finally {
  registry.kill("SIGTERM");
  fs.rmSync(scratch, { recursive: true, force: true });
}

/** Builds the recipe if it is not there, and puts it into the registry with a tool that is not ours. */
async function publish(recipe) {
  const images = await Images.open();
  const built = await images.inspect(`msb-ts/${recipe}`).catch(() => images.build(recipe));
  const layout = join(scratch, "layout");
  await images.save([`msb-ts/${recipe}`], layout, { format: "oci-dir" });
  await images[Symbol.asyncDispose]();
  const target = `docker://127.0.0.1:${registry.port}/image:latest`;
  run("skopeo", ["copy", "--quiet", "--dest-tls-verify=false", `oci:${layout}`, target]);
  fs.rmSync(layout, { recursive: true });
  return built.layers.map(({ descriptor }) => descriptor);
}

/** A new process and a new MSB_HOME, as on a machine that has never seen the image. */
function pull() {
  const home = fs.mkdtempSync(join(scratch, "home-"));
  const program = `
    const { Images } = await import(${JSON.stringify(join(project, "dist/oci/images.js"))});
    const images = await Images.open();
    const { disk } = await images.pull("127.0.0.1:${registry.port}/image:latest");
    console.log(JSON.stringify({ disk, rssMiB: process.resourceUsage().maxRSS / 1024 }));`;
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", program], {
    env: { ...process.env, MSB_HOME: home },
    encoding: "utf8",
  });
  fs.rmSync(home, { recursive: true });
  return JSON.parse(output);
}

function unpackWithSkopeo() {
  const dir = fs.mkdtempSync(join(scratch, "skopeo-"));
  const source = `docker://127.0.0.1:${registry.port}/image:latest`;
  run("skopeo", ["copy", "--quiet", "--src-tls-verify=false", source, `oci:${dir}/layout:latest`]);
  run("umoci", ["unpack", "--image", `${dir}/layout:latest`, join(dir, "bundle")]);
  fs.rmSync(dir, { recursive: true });
}

/** The floor: the layers over HTTP to a file, and from there decompressed to another, both synced. */
async function moveBytes(layers) {
  const dir = fs.mkdtempSync(join(scratch, "floor-"));
  for (const { digest } of layers) {
    const [packed, plain] = [join(dir, "packed"), join(dir, "plain")];
    const url = `http://127.0.0.1:${registry.port}/v2/image/blobs/${digest}`;
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

async function timed(work) {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

function report({ floor, pull: ours, skopeo, copy }, { rssMiB, disk }) {
  const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
  const [floorMs, oursMs, skopeoMs] = [median([...floor, ...copy]), median(ours), median(skopeo)];
  console.log(`image ${args.image}, disk ${(disk.sizeBytes / 1e6).toFixed(1)} MB`);
  console.log(
    `floor ${floorMs.toFixed(0)} ms, pull ${oursMs.toFixed(0)} ms, skopeo + umoci ${skopeoMs.toFixed(0)} ms`,
  );
  console.log(
    `pull / floor ${(oursMs / floorMs).toFixed(2)}, pull / (skopeo + umoci) ${(oursMs / skopeoMs).toFixed(2)}, ` +
      `peak RSS ${rssMiB.toFixed(0)} MiB`,
  );
  if (args.json === undefined) return;
  const result = { floorMs, pullMs: oursMs, skopeoMs, rssMiB, diskBytes: disk.sizeBytes };
  fs.writeFileSync(args.json, JSON.stringify(result));
}

async function startRegistry() {
  const port = await new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port: free } = server.address();
      server.close(() => done(free));
    });
  });
  const config = join(scratch, "registry.yml");
  fs.writeFileSync(
    config,
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${scratch}/registry}}\n` +
      `http: {addr: "127.0.0.1:${port}"}\n`,
  );
  const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  for (let left = 100; left > 0; left -= 1) {
    const isUp = await fetch(`http://127.0.0.1:${port}/v2/`).then(
      () => true,
      () => false,
    );
    if (isUp) return Object.assign(child, { port });
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error("the registry did not start");
}

function run(command, list) {
  execFileSync(command, list, { stdio: ["ignore", "ignore", "inherit"] });
}
