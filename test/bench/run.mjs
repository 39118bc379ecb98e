/**
 * npm run bench: the figures of both drivers, each a ratio to its floor in the same run, as one table.
 *
 *   node test/bench/run.mjs [--only boot|image|server|kernel|templates] [--driver qemu|libkrun] [--rounds N] [--mib N]
 *                           [--json FILE] [--compare FILE]
 *
 * `--json` keeps the rows; `--compare` takes those of an earlier run and tells what became of their ratios.
 */
/* oxlint-disable no-console -- what it says is for people */
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { rowsOf, tableOf } from "./table.mjs";

const BENCHES = ["image", "boot", "server", "templates", "kernel"];
const DRIVERS = ["qemu", "libkrun"];
const project = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const { values: args } = parseArgs({
  options: {
    only: { type: "string" },
    driver: { type: "string" },
    rounds: { type: "string", default: "5" },
    // Output of the kernels' prints.
    mib: { type: "string", default: "100" },
    json: { type: "string" },
    compare: { type: "string" },
  },
});
for (const [option, known] of [
  ["only", BENCHES],
  ["driver", DRIVERS],
]) {
  if (args[option] === undefined || known.includes(args[option])) continue;
  console.error(`--${option} cannot be ${args[option]}: use one of ${known.join(", ")}.`);
  process.exit(2);
}
const earlier = args.compare === undefined ? [] : JSON.parse(fs.readFileSync(args.compare, "utf8"));
const jsonFile = args.json === undefined ? undefined : resolve(args.json);
process.chdir(project);
const cache = join(project, "node_modules/.cache/msb-ts");
process.env.MSB_HOME ||= join(cache, "msb-home");
const run = (command, list) => execFileSync(command, list, { stdio: "inherit" });
const results = fs.mkdtempSync(join(tmpdir(), "msb-bench-results-"));

try {
  run("npm", ["run", "--silent", "build"]);
  const rows = [];
  for (const bench of BENCHES) {
    if (args.only !== undefined && args.only !== bench) continue;
    for (const driver of driversOf(bench)) {
      const result = await measure(bench, driver);
      rows.push(...rowsOf(bench, driver, result));
      if (jsonFile !== undefined) fs.writeFileSync(jsonFile, JSON.stringify(rows, null, 2));
    }
  }
  console.log(`\n${tableOf(rows, earlier)}`);
} finally {
  fs.rmSync(results, { recursive: true, force: true });
}

/** Images need no VM, and only QEMU has templates. */
function driversOf(bench) {
  const able = bench === "image" ? ["none"] : bench === "templates" ? ["qemu"] : DRIVERS;
  return able.filter(
    (name) => name === "none" || args.driver === undefined || args.driver === name,
  );
}

async function measure(bench, driver) {
  if (bench === "image") return runOn("here", bench, []);
  const on = driver === "qemu" ? "here" : "kvm-host";
  const words = bench === "templates" ? [] : ["--driver", driver];
  if (bench === "boot") return runOn(on, bench, [...words, ...(await bootDisks())]);
  const mib = bench === "kernel" ? ["--mib", args.mib] : [];
  return runOn(on, bench, [...words, "--store", imageStore(), ...mib]);
}

/** A disk that starts a program of a few lines, and one with busybox. */
async function bootDisks() {
  const bareInit = join(cache, "bare-init");
  fs.mkdirSync(cache, { recursive: true });
  run("g++", ["-O2", "-static", "-s", "-o", bareInit, "test/bench/bare-init.cc"]);
  const { openHypervisor } = await import("../../dist/microvm.js");
  const { ensureBootDisk } = await import("../../dist/disk/boot-disk.js");
  const { busyboxImage } = await import("../helpers/test-image.mjs");
  const { paths } = await openHypervisor();
  // By this name it travels into the KVM host, as the tests' images do.
  const bareDisk = join(paths.diskCacheDir, "test-bare-init.erofs");
  fs.copyFileSync(await ensureBootDisk(bareInit, paths), bareDisk);
  return ["--bare-disk", bareDisk, "--image", await busyboxImage()];
}

function imageStore() {
  const hooks = "./test/helpers/typescript-hooks.mjs";
  return execFileSync(process.execPath, ["--import", hooks, "test/helpers/server-images.ts"], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  }).trim();
}

/** Here, or in the emulated KVM host. MSB_HOME is elsewhere inside it, and so is what a path in it names. */
function runOn(where, bench, rest) {
  const file = join(results, `${bench}.json`);
  const words = [`test/bench/${bench}.mjs`, "--rounds", args.rounds, ...rest, "--json"];
  if (where === "here") {
    run(process.execPath, [...words, file]);
  } else {
    const quoted = words.map((word) =>
      word.startsWith(process.env.MSB_HOME)
        ? `"$MSB_HOME/${relative(process.env.MSB_HOME, word)}"`
        : word,
    );
    const script = `exec node ${quoted.join(" ")} "$MSB_TEST_OUT/${bench}.json"`;
    run(process.execPath, [
      "test/libkrun-host/run.mjs",
      "--out",
      results,
      "--",
      "sh",
      "-c",
      script,
    ]);
  }
  return JSON.parse(fs.readFileSync(file, "utf8"));
}
