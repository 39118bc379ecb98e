/**
 * npm run bench: the figures of both drivers, each a ratio to its floor in the same run.
 *
 *   node test/bench/run.mjs [--only boot|image|server|kernel|templates] [--driver qemu|libkrun] [--rounds N] [--mib N]
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
    // Output of the kernels' prints.
    mib: { type: "string", default: "100" },
  },
});
const cache = join(project, "node_modules/.cache/msb-ts");
process.env.MSB_HOME ||= join(cache, "msb-home");
const run = (command, list) => execFileSync(command, list, { stdio: "inherit" });

run("npm", ["run", "--silent", "build"]);
const isWanted = (name) => args.only === undefined || args.only === name;
if (isWanted("image")) {
  run(process.execPath, ["test/bench/image.mjs", "--rounds", args.rounds]);
}
const drivers = args.driver ? [args.driver] : ["qemu", "libkrun"];
if (isWanted("boot")) await benchBoot();
if (isWanted("server")) benchOnImages("server.mjs", drivers);
if (isWanted("templates") && drivers.includes("qemu")) benchOnImages("templates.mjs", ["qemu"]);
if (isWanted("kernel")) benchOnImages("kernel.mjs", drivers, "--mib", args.mib);

async function benchBoot() {
  const bareInit = join(cache, "bare-init");
  mkdirSync(cache, { recursive: true });
  run("g++", ["-O2", "-static", "-s", "-o", bareInit, "test/bench/bare-init.cc"]);

  const { openHypervisor } = await import("../../dist/microvm.js");
  const { ensureBootDisk } = await import("../../dist/disk/boot-disk.js");
  const { busyboxImage } = await import("../helpers/test-image.mjs");
  const hypervisor = await openHypervisor();
  // By this name it travels into the KVM host, as the tests' images do.
  const bareDisk = join(hypervisor.paths.diskCacheDir, "test-bare-init.erofs");
  copyFileSync(await ensureBootDisk(bareInit, hypervisor.paths), bareDisk);
  const image = await busyboxImage();
  for (const driver of drivers) {
    runOn(driver, ["boot.mjs", "--bare-disk", bareDisk, "--image", image]);
  }
}

function benchOnImages(bench, on, ...rest) {
  const hooks = "./test/helpers/typescript-hooks.mjs";
  const store = execFileSync(
    process.execPath,
    ["--import", hooks, "test/helpers/server-images.ts"],
    { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] },
  ).trim();
  for (const driver of on) runOn(driver, [bench, "--store", store, ...rest]);
}

/** Here, or in the emulated KVM host. MSB_HOME is elsewhere inside it, and so is what a path in it names. */
function runOn(driver, [bench, ...rest]) {
  const words = [`test/bench/${bench}`, "--rounds", args.rounds, ...rest];
  if (bench !== "templates.mjs") words.push("--driver", driver);
  if (driver === "qemu") return run(process.execPath, words);
  const quoted = words.map((word) =>
    word.startsWith(process.env.MSB_HOME)
      ? `"$MSB_HOME/${relative(process.env.MSB_HOME, word)}"`
      : word,
  );
  const script = `exec node ${quoted.join(" ")}`;
  run(process.execPath, ["test/libkrun-host/run.mjs", "--", "sh", "-c", script]);
}
