/* oxlint-disable no-console -- what it says is for people */
/** Debian packages that a checkout needs: installed when we may, else named in one command. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

/** Package to a file that shows that it is installed (any of them). */
const WITNESSES = {
  "qemu-system-x86": ["/usr/bin/qemu-system-x86_64"],
  "qemu-system-arm": ["/usr/bin/qemu-system-aarch64"],
  e2fsprogs: ["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"],
  "erofs-utils": ["/usr/bin/mkfs.erofs"],
  mmdebstrap: ["/usr/bin/mmdebstrap"],
  "debian-archive-keyring": [
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
  ],
  gpg: ["/usr/bin/gpg"],
  uidmap: ["/usr/bin/newuidmap"],
  "busybox-static": ["/bin/busybox", "/usr/bin/busybox"],
  cpio: ["/bin/cpio", "/usr/bin/cpio"],
  kmod: ["/sbin/modinfo", "/usr/sbin/modinfo"],
  "libcap-ng0": [
    "/usr/lib/x86_64-linux-gnu/libcap-ng.so.0",
    "/usr/lib/aarch64-linux-gnu/libcap-ng.so.0",
  ],
  "docker-registry": ["/usr/bin/docker-registry"],
  skopeo: ["/usr/bin/skopeo"],
  umoci: ["/usr/bin/umoci"],
  "apache2-utils": ["/usr/bin/htpasswd"],
  openssl: ["/usr/bin/openssl"],
  zstd: ["/usr/bin/zstd"],
  python3: ["/usr/bin/python3"],
  "python3-aiohttp": ["/usr/lib/python3/dist-packages/aiohttp/__init__.py"],
  make: ["/usr/bin/make"],
  "g++": ["/usr/bin/g++"],
};

/** The kernel of the emulated host; its package name has the version in it, so it is asked for by dpkg. */
export const HOST_KERNEL_PACKAGE = "linux-image-cloud-amd64";

export function missingPackages(names) {
  return names.filter((name) => {
    const witnesses = WITNESSES[name];
    if (witnesses !== undefined) return !witnesses.some((path) => existsSync(path));
    const query = spawnSync("dpkg-query", ["-W", "-f=${Status}", name], { encoding: "utf8" });
    return !(query.stdout ?? "").includes("install ok installed");
  });
}

/** The one command that installs them, for people. */
export function installCommand(names) {
  return `sudo ${installArgs(names).join(" ")}`;
}

/**
 * Installs what is missing as root or with a sudo that does not ask; throws with the command otherwise. `run` takes
 * a command and its arguments and gives its exit code.
 */
export async function ensurePackages(names, run = runHere) {
  const missing = missingPackages(names);
  if (missing.length === 0) return;
  const prefix = privilege();
  if (prefix === undefined || !existsSync("/usr/bin/apt-get")) {
    throw new Error(
      `these Debian packages are missing: ${missing.join(", ")}. Run: ${installCommand(missing)}`,
    );
  }
  console.log(`installing Debian packages: ${missing.join(" ")}`);
  await installPackages(missing, prefix, run);
}

/** Throws when apt-get fails. `prefix` is what makes one root. */
export async function installPackages(names, prefix, run) {
  const asRoot = ([command, ...args]) => {
    const [program, ...rest] = [...prefix, "env", "DEBIAN_FRONTEND=noninteractive", command];
    return run(program, [...rest, ...args]);
  };
  const install = installArgs(names);
  if ((await asRoot(install)) === 0) return;
  // The package lists may be missing or too old.
  await asRoot(["apt-get", "update", "-q"]);
  if ((await asRoot(install)) !== 0) throw new Error(`this failed: ${install.join(" ")}`);
}

function installArgs(names) {
  return ["apt-get", "install", "-y", "-q", "--no-install-recommends", ...names];
}

function runHere(command, args) {
  return spawnSync(command, args, { stdio: ["ignore", "ignore", "inherit"] }).status;
}

function privilege() {
  if (process.getuid() === 0) return [];
  return spawnSync("sudo", ["-n", "true"]).status === 0 ? ["sudo", "-n"] : undefined;
}
