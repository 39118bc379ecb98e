/** What a checkout is made ready with, and whether that is still to be done. Needs nothing but Node.js. */
import * as fs from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const project = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** Built by node-gyp; the agent runs in Linux guests and is built on Linux. */
export const BINARIES = [
  "msb.node",
  "msb-vmm",
  ...(process.platform === "linux" ? ["msb-agent"] : []),
];

export const INSTALL = ["npm", ["ci", "--no-audit", "--no-fund"]];
export const BUILD_NATIVE = ["npm", ["run", "--silent", "build:native"]];
export const BUILD = ["npm", ["run", "--silent", "build"]];

/** Why this Node.js will not do; undefined when it does. */
export function nodeProblem() {
  const wanted = JSON.parse(read("package.json")).engines.node.replace(/^>=/, "");
  const isOlder = process.versions.node.localeCompare(wanted, "en", { numeric: true }) < 0;
  if (!isOlder) return undefined;
  return `this is Node.js ${process.versions.node}, ${wanted} or newer is needed: get it from nodejs.org`;
}

/** Does node_modules hold what the lock file names? Dates tell nothing after a fresh checkout. */
export function isInstalled() {
  const packagesOf = (path) => JSON.parse(read(path)).packages;
  try {
    const installed = packagesOf("node_modules/.package-lock.json");
    return Object.entries(packagesOf("package-lock.json")).every(
      ([path, { version, optional }]) =>
        path === "" || optional === true || installed[path]?.version === version,
    );
  } catch {
    return false;
  }
}

/** Are the native parts newer than their sources? */
export function isNativeBuilt() {
  const sources = filesIn("native").filter((path) => /\.(cc|h)$/.test(path));
  const newest = Math.max(...["binding.gyp", ...sources].map(modifiedAt));
  return BINARIES.every((name) => modifiedAt(join("build/Release", name)) >= newest);
}

/** Is every file of `dist` newer than its source? */
export function isBuilt() {
  // Declarations alone become no file.
  const sources = filesIn("src").filter((path) => /(?<!\.d)\.ts$/.test(path));
  const options = modifiedAt("src/tsconfig.json");
  return [...sources, ...filesIn("src/kernel/programs")].every((path) => {
    const built = path.replace(/^src/, "dist").replace(/\.ts$/, ".js");
    return modifiedAt(built) >= Math.max(modifiedAt(path), options);
  });
}

/** Paths of the files below `folder`, both from the project's. */
function filesIn(folder) {
  const entries = fs.readdirSync(join(project, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(project.length + 1));
}

function read(path) {
  return fs.readFileSync(join(project, path), "utf8");
}

function modifiedAt(path) {
  return fs.statSync(join(project, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
