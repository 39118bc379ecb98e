/**
 * The image that VM tests boot: busybox and a few accounts, as EROFS. Made once by mkfs.erofs, which is not
 * ours, and kept beside the other disks of MSB_HOME, so that it travels into the KVM host.
 *
 *   node test/helpers/test-image.mjs      prints its path
 */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** Changes with what is put into the image. */
const VERSION = 1;
const BUSYBOX = "/bin/busybox";
const FOLDERS = ["bin", "dev", "etc", "home/app", "mnt", "proc", "root", "run", "sys", "tmp"];

/** The image's path; made if it is not there yet. */
export async function busyboxImage() {
  const home = process.env.MSB_HOME || join(homedir(), ".msb-ts");
  const path = join(home, "disks", `test-busybox-${VERSION}.erofs`);
  if (existsSync(path)) return path;
  mkdirSync(join(home, "disks"), { recursive: true });
  const scratch = mkdtempSync(join(home, "disks", ".test-image-"));
  try {
    fillBusyboxRoot(join(scratch, "root"));
    execFileSync("mkfs.erofs", ["--quiet", join(scratch, "image"), join(scratch, "root")]);
    renameSync(join(scratch, "image"), path);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return path;
}

/** Busybox with all its names, and a few accounts, into the new folder `root`. */
export function fillBusyboxRoot(root) {
  for (const folder of FOLDERS) mkdirSync(join(root, folder), { recursive: true });
  copyFileSync(BUSYBOX, join(root, "bin/busybox"));
  chmodSync(join(root, "bin/busybox"), 0o755);
  const applets = execFileSync(BUSYBOX, ["--list"], { encoding: "utf8" }).trim().split("\n");
  for (const applet of applets) {
    if (applet !== "busybox") symlinkSync("busybox", join(root, "bin", applet));
  }
  writeFileSync(
    join(root, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
  );
  writeFileSync(
    join(root, "etc/group"),
    "root:x:0:\napp:x:1000:\nextra:x:2000:app\nnogroup:x:65534:\n",
  );
  chmodSync(join(root, "tmp"), 0o1777);
  if (process.getuid?.() === 0) chownSync(join(root, "home/app"), 1000, 1000);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  console.log(await busyboxImage());
}
