/**
 * What `npm install` runs: binaries that came with the package are taken if they run here, else they are built. A
 * checkout builds its own, whatever lies beside it.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** How msb-vmm ends when nobody gives it a VM to run. */
const VMM_WITHOUT_CONFIG = 125;
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const prebuilds = join(root, "prebuilds", `${process.platform}-${process.arch}`);

if (existsSync(join(root, "src/tsconfig.json")) || !doPrebuildsRun()) build();

/** In processes of their own: what does not fit this system may do more than fail. */
function doPrebuildsRun() {
  const addon = join(prebuilds, "msb.node");
  const vmm = join(prebuilds, "msb-vmm");
  return (
    statusOf(process.execPath, ["-e", `require(${JSON.stringify(addon)})`]) === 0 &&
    statusOf(vmm, []) === VMM_WITHOUT_CONFIG
  );
}

function statusOf(program, args) {
  return spawnSync(program, args, { stdio: "ignore" }).status;
}

function build() {
  const gyp = createRequire(import.meta.url).resolve("node-gyp/bin/node-gyp.js");
  const args = [gyp, "rebuild", "--jobs", "max", ...headersHere()];
  const { status, signal } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" });
  if (status === 0) return;
  console.error(
    `msb-ts: its native parts could not be built (${status ?? signal}). That takes a C++20 compiler, make and python3 ` +
      "(on Debian and Ubuntu: apt-get install g++ make python3), and the headers of Node.js: those that are installed " +
      "beside it, or a connection to nodejs.org. Then run `npm rebuild msb-ts`.",
  );
  process.exitCode = 1;
}

/** Most installations of Node.js have its headers with them; node-gyp would fetch them all the same. */
function headersHere() {
  if (process.env.npm_config_nodedir) return [];
  const prefix = join(dirname(process.execPath), "..");
  try {
    const text = readFileSync(join(prefix, "include/node/node_version.h"), "utf8");
    const number = (name) => new RegExp(`^#define NODE_${name}_VERSION (\\d+)$`, "m").exec(text)[1];
    const version = ["MAJOR", "MINOR", "PATCH"].map(number).join(".");
    return version === process.versions.node ? [`--nodedir=${prefix}`] : [];
  } catch {
    return [];
  }
}
