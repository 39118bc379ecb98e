/**
 * npm run bench: the figures of both drivers, each a ratio to its floor in the same run.
 *
 *   node test/bench/run.mjs [--only boot|image] [--driver qemu|libkrun] [--rounds N]
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const project = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
process.chdir(project);
const { values: args } = parseArgs({
  options: {
    only: { type: "string" },
    driver: { type: "string" },
    rounds: { type: "string", default: "5" },
  },
});
const cache = join(project, "node_modules/.cache/msb-ts");
process.env.MSB_HOME ||= join(cache, "msb-home");
const run = (command, list) => execFileSync(command, list, { stdio: "inherit" });

run("npm", ["run", "--silent", "build"]);
if (args.only !== "boot") {
  run(process.execPath, ["test/bench/image.mjs", "--rounds", args.rounds]);
}
if (args.only === "image") process.exit();
const bareInit = join(cache, "bare-init");
mkdirSync(cache, { recursive: true });
run("g++", ["-O2", "-static", "-s", "-o", bareInit, "test/bench/bare-init.cc"]);

const { openHypervisor } = await import("../../dist/index.js");
const { ensureBootDisk } = await import("../../dist/disk/boot-disk.js");
const { busyboxImage } = await import("../helpers/test-image.mjs");
const hypervisor = await openHypervisor();
// By this name it travels into the KVM host, as the tests' images do.
const bareDisk = join(hypervisor.paths.diskCacheDir, "test-bare-init.erofs");
copyFileSync(await ensureBootDisk(bareInit, hypervisor.paths), bareDisk);
const image = await busyboxImage();

for (const driver of args.driver ? [args.driver] : ["qemu", "libkrun"]) {
  const bench = ["test/bench/boot.mjs", "--driver", driver, "--rounds", args.rounds];
  if (driver === "qemu") {
    run(process.execPath, [...bench, "--bare-disk", bareDisk, "--image", image]);
  } else {
    // Inside the KVM host MSB_HOME is elsewhere, and so are the disks in it.
    const inHost = (path) => relative(process.env.MSB_HOME, path);
    const script = `exec node ${bench.join(" ")} --bare-disk "$MSB_HOME/${inHost(bareDisk)}" --image "$(node test/helpers/test-image.mjs)"`;
    run(process.execPath, ["test/libkrun-host/run.mjs", "--", "sh", "-c", script]);
  }
}
