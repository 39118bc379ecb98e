/* oxlint-disable no-console -- what it says is for people */
/**
 * `npm test`: brings what is missing, builds, and runs every suite: lint, unit and integration, vm on QEMU,
 * vm on libkrun. Ends with a table and one line `N passed, N failed`. A skipped test counts as failed.
 */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Children } from "../src/checkout/children.mjs";
import { ensurePackages, HOST_KERNEL_PACKAGE } from "../src/checkout/debian.mjs";
import {
  BUILD,
  BUILD_NATIVE,
  INSTALL,
  isInstalled,
  isNativeBuilt,
  project,
} from "../src/checkout/prepare.mjs";
import { HOST_UP } from "./libkrun-host/machine.mjs";

/** Of the message of a failed test, told again at the end. */
const MAX_MESSAGE_LINES = 30;
const PACKAGES = [
  "qemu-system-x86",
  "e2fsprogs",
  "erofs-utils",
  "mmdebstrap",
  "busybox-static",
  "cpio",
  "kmod",
  "libcap-ng0",
  "docker-registry",
  "skopeo",
  "umoci",
  "apache2-utils",
  "openssl",
  "zstd",
  HOST_KERNEL_PACKAGE,
  "python3",
  "python3-aiohttp",
  "make",
  "g++",
];
const VITEST = ["node_modules/vitest/vitest.mjs", "run", "--config", "test/vitest.config.ts"];

// Tests keep their own runtime components, away from the user's.
const cachedHome = join(project, "node_modules/.cache/msb-ts/msb-home");
// The path of a unix socket has 107 bytes at most; a checkout in a deep folder leaves too few of them.
const tempHome =
  process.env.MSB_HOME || cachedHome.length < 70
    ? undefined
    : fs.mkdtempSync(join(tmpdir(), "msb-test-home-"));
process.env.MSB_HOME ||= tempHome ?? cachedHome;

/** Reports, and the temporary files of the tests: what one that is killed leaves behind goes with this run. */
const scratch = fs.mkdtempSync(join(tmpdir(), "msb-test-"));
const results = [];
const children = new Children(project);

let isPrepared = false;
try {
  await prepare();
  isPrepared = true;
  process.env.TMPDIR = scratch;
  await suite("lint", "npm", ["run", "--silent", "lint"]);
  const unit = join(scratch, "unit.json");
  await suite(
    "unit, integration",
    process.execPath,
    [...VITEST, "--project", "unit", "--project", "integration", ...reporting(unit)],
    { report: unit },
  );
  await vmSuites();
} catch (error) {
  console.error(`\ntest/run.mjs: ${error.message}`);
  if (!isPrepared) results.push({ name: "preparation", passed: 0, failed: 1, seconds: 0 });
} finally {
  fs.rmSync(scratch, { recursive: true, force: true });
  if (process.env.MSB_HOME === cachedHome) {
    fs.rmSync(join(cachedHome, "vms"), { recursive: true, force: true });
  }
  if (tempHome !== undefined) fs.rmSync(tempHome, { recursive: true, force: true });
}
summarize();

/**
 * The emulated host of libkrun keeps one core busy for a long time: once it has all that is made outside, QEMU's tests
 * run beside it. Where KVM works there is no such host, and they come behind.
 */
async function vmSuites() {
  let libkrun;
  await new Promise((resolve) => {
    libkrun = vmOnLibkrun((line) => line.includes(HOST_UP) && resolve());
    libkrun.then(resolve, resolve);
  });
  await Promise.all([libkrun, vmOnQemu()]);
}

function vmOnQemu() {
  const report = join(scratch, "qemu.json");
  return suite(
    "vm on qemu",
    process.execPath,
    [...VITEST, "--project", "vm", ...reporting(report)],
    {
      report,
      env: { MSB_TEST_DRIVERS: "qemu", MSB_REQUIRE_VM: "1" },
      label: "qemu",
    },
  );
}

function vmOnLibkrun(onLine) {
  const out = join(scratch, "libkrun");
  return suite("vm on libkrun", process.execPath, ["test/libkrun-host/run.mjs", "--out", out], {
    report: join(out, "vitest.json"),
    label: "libkrun",
    onLine,
  });
}

/** Debian packages, npm packages, native build, TypeScript build. */
async function prepare() {
  if (process.platform === "linux") await ensurePackages(PACKAGES);
  if (!isInstalled()) await step(...INSTALL);
  if (!isNativeBuilt()) await step(...BUILD_NATIVE);
  await step(...BUILD);
}

function reporting(file) {
  return [
    "--reporter=default",
    "--reporter=json",
    "--reporter=./test/stray-errors.mjs",
    `--outputFile.json=${file}`,
  ];
}

async function step(command, args) {
  const code = await children.run(command, args);
  if (code !== 0) throw new Error(`this failed (${code}): ${command} ${args.join(" ")}`);
}

/** Runs one suite and counts; without a report it counts as one test. With a label its lines begin with it. */
async function suite(name, command, args, { report, env = {}, label, onLine } = {}) {
  children.signal.throwIfAborted();
  console.log(`\n== ${name}`);
  const begin = Date.now();
  const stray = `${report}.stray`;
  const code = await run(command, args, {
    env: { ...env, MSB_STRAY_ERRORS: stray },
    label,
    onLine,
  });
  const content = report === undefined ? undefined : readJson(report);
  const counts = report === undefined ? { passed: 1, failed: 0 } : countTests(content);
  if (code !== 0 && counts.failed === 0) {
    // An exit without a failed test: lint, a file that does not load, an unhandled error.
    counts.failed = 1;
    if (report === undefined) counts.passed = 0;
  }
  const failures = [
    ...failuresOf(content),
    ...(readJson(stray) ?? []).map((text) => shorten(name, text)),
  ];
  results.push({ name, ...counts, failures, seconds: (Date.now() - begin) / 1000 });
}

function readJson(path) {
  try {
    return JSON.parse(fs.readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

function countTests(content) {
  if (content === undefined) return { passed: 0, failed: 1 };
  const passed = content.numPassedTests;
  const skipped = content.numTotalTests - passed - content.numFailedTests;
  if (skipped > 0) console.error(`${skipped} tests were skipped; that counts as failed`);
  // A file that does not load has no tests to fail.
  const broken = content.testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.length === 0,
  ).length;
  const isEmpty = content.numTotalTests === 0;
  return { passed, failed: content.numFailedTests + skipped + broken + (isEmpty ? 1 : 0) };
}

/** Each as a few lines: which test, and why. */
function failuresOf(content) {
  return (content?.testResults ?? []).flatMap((file) => {
    const failed = file.assertionResults.filter(({ status }) => status === "failed");
    const broken = file.status === "failed" && file.assertionResults.length === 0;
    return [
      ...failed.map((test) =>
        failureText(file.name, test.fullName, test.failureMessages.join("\n")),
      ),
      ...(broken ? [failureText(file.name, "does not load", file.message)] : []),
    ];
  });
}

function failureText(file, what, message) {
  return shorten(`${file.split("/test/").at(-1)} > ${what}`, message);
}

function shorten(title, message) {
  return [`FAILED ${title}`, ...message.split("\n").slice(0, MAX_MESSAGE_LINES)].join("\n  ");
}

function run(command, args, { env, label, onLine = () => {} }) {
  if (label === undefined) return children.start(command, args, { env }).ended;
  const { child, ended } = children.start(command, args, {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  for (const output of [child.stdout, child.stderr]) {
    createInterface({ input: output }).on("line", (line) => {
      console.log(`${label} | ${line}`);
      onLine(line);
    });
  }
  return ended;
}

function summarize() {
  const sum = (key) => results.reduce((total, result) => total + result[key], 0);
  // Where it is read first: a long log is cut at its beginning.
  for (const text of results.flatMap(({ failures = [] }) => failures)) console.log(`\n${text}`);
  console.log("");
  for (const { name, passed, failed, seconds } of results) {
    const counts = `${`${passed}`.padStart(5)} passed ${`${failed}`.padStart(4)} failed`;
    console.log(`${name.padEnd(20)} ${counts} ${seconds.toFixed(1).padStart(8)} s`);
  }
  const failed = sum("failed") + (children.stoppedBy === undefined ? 0 : 1);
  console.log(`${sum("passed")} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}
