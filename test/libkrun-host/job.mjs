/** The job disk: the built project, its test tools and MSB_HOME, as one read-only EROFS disk. */
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";

/** Packages in node_modules that no test inside the host uses. */
const LEFT_OUT = new Set([
  ".cache",
  ".bin",
  ".vite",
  "@oxlint",
  "oxlint",
  "prettier",
  "dependency-cruiser",
  "web-streams-polyfill",
  "node-gyp",
]);
const PROJECT_FILES = ["package.json", "src", "test", "dist", "images"];
const BINARIES = ["msb.node", "msb-vmm", "msb-agent"];

/** Packs `command` (argv, run in the project's folder) with everything that it needs; returns the disk's path. */
export function packJob(project, scratch, { command, env, msbHome }) {
  const stage = join(scratch, "job");
  const target = join(stage, "project");
  fs.mkdirSync(target, { recursive: true });
  const copy = (from, to, filter = () => true) =>
    fs.cpSync(from, to, { recursive: true, dereference: true, preserveTimestamps: true, filter });
  for (const name of PROJECT_FILES) {
    if (fs.existsSync(join(project, name))) copy(join(project, name), join(target, name));
  }
  fs.mkdirSync(join(target, "build/Release"), { recursive: true });
  for (const name of BINARIES) {
    const from = join(project, "build/Release", name);
    if (fs.existsSync(from)) copy(from, join(target, "build/Release", name));
  }
  // What test/helpers/typescript-hooks.mjs has compiled already: the compiler is slow in there.
  const compiled = join(project, "build/test-cache");
  if (fs.existsSync(compiled)) copy(compiled, join(target, "build/test-cache"));
  for (const name of fs.readdirSync(join(project, "node_modules"))) {
    if (LEFT_OUT.has(name)) continue;
    copy(join(project, "node_modules", name), join(target, "node_modules", name), isWanted);
  }
  // Runtime components cannot be fetched inside. Their times must stay exact, or they are hashed again (Node's
  // own copy keeps milliseconds only). Of the disks only test images take long to make there.
  fs.mkdirSync(join(stage, "msb-home/disks"), { recursive: true });
  for (const name of fs.readdirSync(join(msbHome, "disks"))) {
    if (!name.startsWith("test-")) continue;
    copy(join(msbHome, "disks", name), join(stage, "msb-home/disks", name));
  }
  execFileSync("cp", ["-rLp", join(msbHome, "runtime"), join(stage, "msb-home/runtime")]);
  fs.writeFileSync(join(stage, "run.sh"), script(command, env));
  const disk = join(scratch, "job.erofs");
  execFileSync("mkfs.erofs", ["--quiet", disk, stage], { stdio: ["ignore", 2, 2] });
  fs.rmSync(stage, { recursive: true, force: true });
  return disk;
}

function isWanted(path) {
  return !/\.(map|md|d\.ts|d\.mts|d\.cts)$/.test(path);
}

function script(command, env) {
  const quote = (word) => `'${String(word).replaceAll("'", `'\\''`)}'`;
  const exports = Object.entries(env).map(([name, value]) => `export ${name}=${quote(value)}`);
  return [...exports, "cd project", `exec ${command.map(quote).join(" ")}`, ""].join("\n");
}
