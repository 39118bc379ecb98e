/**
 * npm run bench: the figures of both drivers, each a ratio to its floor in the same run, as one table.
 *
 *   node test/bench/run.mjs [--only image,boot,files,server,templates,warm,kernel] [--driver qemu|libkrun]
 *                           [--rounds N] [--mib N] [--json FILE] [--compare FILE]
 *   node test/bench/run.mjs --table FILE [--compare FILE]
 *
 * `--only` can be given more than once. `--rounds` is for all benches; without it each has its own. `--json` keeps the
 * rows; `--compare` takes those of an earlier run and tells what became of their ratios; `--table` shows those of an
 * earlier run, and measures nothing.
 */
/* oxlint-disable no-console -- what it says is for people */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Children, Stopped } from "../../src/checkout/children.mjs";
import { BENCHES, rowsOf } from "./rows.mjs";
import { tableOf } from "./table.mjs";

const DRIVERS = ["qemu", "libkrun"];
/** The others run on both. Images need no VM; only QEMU has templates, and only libkrun guests ahead. */
const RUNS_ON = { image: ["none"], templates: ["qemu"], warm: ["libkrun"] };
/** A bench waits for its server, and that for its microVMs. */
const GRACE_MS = 60_000;
const project = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const { values: args } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: [] },
    driver: { type: "string" },
    rounds: { type: "string" },
    // Of each file and stream, and of the kernels' prints.
    mib: { type: "string", default: "10" },
    json: { type: "string" },
    compare: { type: "string" },
    table: { type: "string" },
  },
});
const only = args.only.flatMap((names) => names.split(","));
check("only", only, BENCHES);
check("driver", args.driver === undefined ? [] : [args.driver], DRIVERS);
const readRows = (file) => JSON.parse(fs.readFileSync(file, "utf8"));
const earlier = args.compare === undefined ? [] : readRows(args.compare);
if (args.table !== undefined) {
  console.log(tableOf(readRows(args.table), earlier));
  process.exit();
}

const jsonFile = args.json === undefined ? undefined : resolve(args.json);
process.chdir(project);
const cache = join(project, "node_modules/.cache/msb-ts");
process.env.MSB_HOME ||= join(cache, "msb-home");
const results = fs.mkdtempSync(join(tmpdir(), "msb-bench-results-"));
const children = new Children(project);
try {
  const rows = await measureAll();
  console.log(`\n${tableOf(rows, earlier)}`);
} catch (error) {
  if (!(error instanceof Stopped)) console.error(`test/bench/run.mjs: ${error.message}`);
  process.exitCode = children.stoppedBy === undefined ? 1 : children.exitCode;
} finally {
  fs.rmSync(results, { recursive: true, force: true });
}

function check(option, given, known) {
  const wrong = given.find((word) => !known.includes(word));
  if (wrong === undefined) return;
  console.error(`--${option} cannot be ${wrong}: use ${known.join(", ")}.`);
  process.exit(2);
}

async function measureAll() {
  await run("npm", ["run", "--silent", "build"]);
  const rows = [];
  for (const bench of BENCHES.filter((name) => only.length === 0 || only.includes(name))) {
    for (const driver of driversOf(bench)) {
      rows.push(...rowsOf(bench, driver, await measure(bench, driver)));
      if (jsonFile !== undefined) fs.writeFileSync(jsonFile, JSON.stringify(rows, null, 2));
    }
  }
  return rows;
}

function driversOf(bench) {
  return (RUNS_ON[bench] ?? DRIVERS).filter(
    (name) => name === "none" || args.driver === undefined || args.driver === name,
  );
}

async function measure(bench, driver) {
  const words = args.rounds === undefined ? [] : ["--rounds", args.rounds];
  if (RUNS_ON[bench] === undefined) words.push("--driver", driver);
  if (["boot", "files", "kernel"].includes(bench)) {
    words.push("--bare-initramfs", await bareInitramfs());
  }
  if (bench === "boot" || bench === "files") words.push("--image", await busyboxDisk());
  else if (bench !== "image") words.push("--store", await imageStore());
  if (bench === "files" || bench === "kernel") words.push("--mib", args.mib);
  return driver === "libkrun" ? runInKvmHost(bench, words) : runHere(bench, words);
}

/** Starts a program of a few lines. */
async function bareInitramfs() {
  const bareInit = join(cache, "bare-init");
  fs.mkdirSync(cache, { recursive: true });
  await run("g++", ["-O2", "-static", "-s", "-o", bareInit, "test/bench/bare-init.cc"]);
  const { openHypervisor } = await import("../../dist/microvm.js");
  const { ensureInitramfs } = await import("../../dist/disk/initramfs.js");
  const { paths } = await openHypervisor();
  // By this name it travels into the KVM host, as the tests' images do.
  const initramfs = join(paths.diskCacheDir, "test-bare-init.cpio");
  fs.rmSync(initramfs, { force: true });
  fs.copyFileSync(await ensureInitramfs(bareInit, paths), initramfs);
  return initramfs;
}

async function busyboxDisk() {
  const { busyboxImage } = await import("../helpers/test-image.mjs");
  return busyboxImage();
}

async function imageStore() {
  const hooks = "./test/helpers/typescript-hooks.mjs";
  const program = ["--import", hooks, "test/helpers/server-images.ts"];
  const { child, ended } = children.start(process.execPath, program, {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
  if ((await ended) !== 0) throw new Error("test/helpers/server-images.ts failed");
  return output.trim();
}

async function runHere(bench, words) {
  const file = join(results, `${bench}.json`);
  await run(process.execPath, [`test/bench/${bench}.mjs`, ...words, "--json", file]);
  return readRows(file);
}

/** This machine, if it has KVM, or the emulated one. MSB_HOME is elsewhere in it, and so is what a path in it names. */
async function runInKvmHost(bench, words) {
  const quoted = words.map((word) =>
    word.startsWith(process.env.MSB_HOME)
      ? `"$MSB_HOME/${relative(process.env.MSB_HOME, word)}"`
      : word,
  );
  const script = `exec node test/bench/${bench}.mjs ${quoted.join(" ")} --json "$MSB_TEST_OUT/${bench}.json"`;
  const host = ["test/libkrun-host/run.mjs", "--out", results];
  await run(process.execPath, [...host, "--", "sh", "-c", script]);
  return readRows(join(results, `${bench}.json`));
}

/** A program that must succeed; a signal is told to it alone, which ends what it has started. */
async function run(command, list) {
  const code = await children.run(command, list, { signals: "leader", graceMs: GRACE_MS });
  if (code !== 0) throw new Error(`this failed (${code}): ${command} ${list.join(" ")}`);
}
