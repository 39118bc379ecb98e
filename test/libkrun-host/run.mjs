/* oxlint-disable no-console -- what it says is for people */
/**
 * Runs the vm tests on libkrun: here if this machine's KVM works, else in an emulated KVM host (QEMU's
 * software emulation has AMD's virtualisation, so a Debian kernel in it has a real /dev/kvm).
 *
 *   node test/libkrun-host/run.mjs [--out DIR] [--emulated] [--timeout SECONDS] [-- COMMAND...]
 *
 * COMMAND is run in the project's folder instead of the vm tests. What the host writes to $MSB_TEST_OUT comes
 * out in DIR. MSB_TEST_CACHE keeps the host's disk between runs; nothing else is left behind.
 */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { ensurePackages, HOST_KERNEL_PACKAGE } from "../../src/checkout/debian.mjs";
import { busyboxImage } from "../helpers/test-image.mjs";
import { ensureHostImage } from "./image.mjs";
import { packJob } from "./job.mjs";
import { runInHost } from "./machine.mjs";

const project = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const SCRATCH_PREFIX = "msb-kvm-host-";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: "string" },
    emulated: { type: "boolean", default: false },
    timeout: { type: "string", default: "3600" },
  },
});

const cache = resolve(
  process.env.MSB_TEST_CACHE || join(project, "node_modules/.cache/msb-ts/kvm-host"),
);
const msbHome = resolve(process.env.MSB_HOME || join(cache, "..", "msb-home"));
const abort = new AbortController();
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(name, () => abort.abort(new Error(`ended by ${name}`)));
}

try {
  process.exitCode = !values.emulated && hasUsableKvm() ? await runDirectly() : await runEmulated();
} catch (error) {
  console.error(`test/libkrun-host: ${error.message}`);
  process.exitCode = 1;
}

function testCommand(reportFile) {
  return [
    "node",
    "node_modules/vitest/vitest.mjs",
    "run",
    "--config",
    "test/vitest.config.ts",
    "--project",
    "vm",
    // One process for all files: half of vitest's start under emulation.
    "--no-isolate",
    "--reporter=verbose",
    "--reporter=json",
    "--reporter=./test/stray-errors.mjs",
    `--outputFile.json=${reportFile}`,
  ];
}

function testEnv(home, out) {
  return {
    MSB_TEST_DRIVERS: "libkrun",
    MSB_REQUIRE_VM: "1",
    MSB_HOME: home,
    MSB_TEST_OUT: out,
    MSB_STRAY_ERRORS: join(out, "vitest.json.stray"),
    CI: "1",
    NO_COLOR: "1",
  };
}

/** An open device is not enough: a KVM without vmx or svm runs paravirtual guests only. */
function hasUsableKvm() {
  if (process.platform === "darwin") return true;
  try {
    fs.closeSync(fs.openSync("/dev/kvm", "r+"));
    return /^flags\s*:.*\b(vmx|svm)\b/m.test(fs.readFileSync("/proc/cpuinfo", "utf8"));
  } catch {
    return false;
  }
}

async function runDirectly() {
  const scratch = makeScratch();
  try {
    const out = resolve(values.out ?? scratch);
    fs.mkdirSync(out, { recursive: true });
    const [command, ...args] =
      positionals.length > 0 ? positionals : testCommand(join(out, "vitest.json"));
    const result = spawnSync(command, args, {
      cwd: project,
      stdio: "inherit",
      env: { ...process.env, ...testEnv(msbHome, out) },
    });
    return result.status ?? 1;
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

/** What the image tests compare and servers in tests start from; made here, where the tools for it are. */
function makeImageFixtures() {
  const hooks = "./test/helpers/typescript-hooks.mjs";
  for (const program of ["image-fixtures.ts", "server-images.ts"]) {
    const { status } = spawnSync(process.execPath, ["--import", hooks, `test/helpers/${program}`], {
      cwd: project,
      stdio: ["ignore", 2, "inherit"],
    });
    if (status !== 0) throw new Error(`test/helpers/${program} failed`);
  }
}

async function runEmulated() {
  await ensurePackages([
    "qemu-system-x86",
    "mmdebstrap",
    "busybox-static",
    "e2fsprogs",
    "erofs-utils",
    "cpio",
    "kmod",
    "umoci",
    "g++",
    HOST_KERNEL_PACKAGE,
  ]);
  const scratch = makeScratch();
  try {
    await bringRuntime();
    process.env.MSB_HOME = msbHome;
    await busyboxImage();
    makeImageFixtures();
    const image = ensureHostImage(cache, scratch);
    abort.signal.throwIfAborted();
    const command = positionals.length > 0 ? positionals : testCommand("/out/vitest.json");
    const env = testEnv("/job/msb-home", "/out");
    const job = packJob(project, scratch, { command, env, msbHome });
    abort.signal.throwIfAborted();
    return await runInHost(image, job, {
      scratch,
      outDir: resolve(values.out ?? join(scratch, "out")),
      timeoutMs: Number(values.timeout) * 1000,
      signal: abort.signal,
    });
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

/** The host has no network: it gets the runtime components from here. */
async function bringRuntime() {
  const dist = (name) => import(pathToFileURL(join(project, "dist", name)).href);
  const { setup } = await dist("runtime/setup.js");
  const { msbPaths } = await dist("paths.js");
  await setup({ paths: msbPaths(msbHome), signal: abort.signal });
}

/** A folder that names its owner; those of dead owners are removed. */
function makeScratch() {
  for (const name of fs.readdirSync(tmpdir())) {
    const owner = new RegExp(`^${SCRATCH_PREFIX}(\\d+)-`).exec(name)?.[1];
    if (owner !== undefined && !fs.existsSync(`/proc/${owner}`)) {
      fs.rmSync(join(tmpdir(), name), { recursive: true, force: true });
    }
  }
  return fs.mkdtempSync(join(tmpdir(), `${SCRATCH_PREFIX}${process.pid}-`));
}
