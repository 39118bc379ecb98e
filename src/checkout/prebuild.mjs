/**
 * Puts what was built here into `prebuilds`, for the package: `npm pack` brings it to whoever installs that. Other
 * platforms' folders stay, so that several machines can fill it before one packs.
 */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { BINARIES, isNativeBuilt, project } from "./prepare.mjs";

const target = join(project, "prebuilds", `${process.platform}-${process.arch}`);

if (!isNativeBuilt()) {
  throw new Error(
    "the native parts are older than their sources: run `npm run build:native` first",
  );
}
fs.mkdirSync(target, { recursive: true });
for (const name of BINARIES) {
  const making = join(target, `.${name}.${process.pid}`);
  fs.copyFileSync(join(project, "build/Release", name), making);
  // On macOS they are signed, and strip would break the signature.
  if (process.platform === "linux") run("strip", ["--strip-unneeded", making]);
  fs.chmodSync(making, 0o755);
  fs.renameSync(making, join(target, name));
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: project, stdio: "inherit" });
  if (status === 0) return;
  throw new Error(`this failed (${error?.message ?? status}): ${command} ${args.join(" ")}`);
}
