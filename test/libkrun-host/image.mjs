/* oxlint-disable no-console -- what it says is for people */
/** Builds the disk of the emulated KVM host from Debian packages; kept under a digest of what it is made of. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
/** What the tests run in the host; erofs-utils and busybox-static make test images. */
const PACKAGES = [
  "busybox-static",
  "kmod",
  "libcap-ng0",
  "libstdc++6",
  "e2fsprogs",
  "erofs-utils",
  "procps",
];
/** Debian's kernel has its virtio disk driver in modules. */
const DISK_MODULES = ["virtio_pci", "virtio_blk", "ext4"];
const DISK_BYTES = 6 * 1024 ** 3;

/** { kernel, initramfs, disk }, built if the cache has none for these inputs. */
export function ensureHostImage(cacheDir, scratch) {
  const kernelVersion = newestKernel();
  const node = fs.realpathSync(process.execPath);
  const suite = /^VERSION_CODENAME=(\S+)/m.exec(fs.readFileSync("/etc/os-release", "utf8"))?.[1];
  const digest = createHash("sha256");
  digest.update(JSON.stringify([kernelVersion, process.version, suite, PACKAGES, DISK_BYTES]));
  for (const name of ["image.mjs", "host-init.sh", "initramfs-init.sh"]) {
    digest.update(fs.readFileSync(join(here, name)));
  }
  const folder = join(cacheDir, digest.digest("hex").slice(0, 16));
  const image = {
    kernel: `/boot/vmlinuz-${kernelVersion}`,
    initramfs: join(folder, "initramfs.gz"),
    disk: join(folder, "host.ext4"),
  };
  if (fs.existsSync(folder)) return image;

  console.log("building the emulated KVM host (once, about a minute)");
  const making = join(scratch, "host");
  fs.mkdirSync(making);
  buildDisk(making, { kernelVersion, node, suite });
  buildInitramfs(making, kernelVersion);
  // The finished folder appears at once; older ones served older inputs.
  fs.mkdirSync(cacheDir, { recursive: true });
  for (const name of fs.readdirSync(cacheDir)) {
    fs.rmSync(join(cacheDir, name), { recursive: true, force: true });
  }
  const arriving = `${folder}.${process.pid}`;
  run("cp", ["-r", "--sparse=always", making, arriving]);
  fs.renameSync(arriving, folder);
  fs.rmSync(making, { recursive: true, force: true });
  return image;
}

function newestKernel() {
  const versions = fs
    .readdirSync("/lib/modules")
    .filter((name) => name.includes("cloud") && fs.existsSync(`/boot/vmlinuz-${name}`));
  const newest = versions.toSorted((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
  if (newest === undefined) throw new Error("no Debian cloud kernel is installed");
  return newest;
}

function buildDisk(folder, { kernelVersion, node, suite }) {
  const root = join(folder, "root");
  run("mmdebstrap", [
    "--quiet",
    "--variant=essential",
    `--include=${PACKAGES.join(",")}`,
    suite,
    root,
  ]);
  fs.copyFileSync(node, join(root, "usr/bin/node"));
  const libraries = run("ldd", [node]).match(/\/lib\S+/g) ?? [];
  for (const library of libraries) {
    const target = join(root, library);
    if (fs.existsSync(target)) continue;
    fs.mkdirSync(dirname(target), { recursive: true });
    fs.copyFileSync(library, target);
  }
  fs.mkdirSync(join(root, "lib/modules"), { recursive: true });
  run("cp", ["-a", `/lib/modules/${kernelVersion}`, join(root, "lib/modules")]);
  fs.copyFileSync(join(here, "host-init.sh"), join(root, "msb-host-init"));
  fs.chmodSync(join(root, "msb-host-init"), 0o755);
  fs.writeFileSync(join(root, "etc/hosts"), "127.0.0.1 localhost kvm-host\n");
  const disk = join(folder, "host.ext4");
  fs.writeFileSync(disk, "");
  fs.truncateSync(disk, DISK_BYTES);
  run("mkfs.ext4", ["-q", "-F", "-E", "nodiscard", "-O", "^has_journal", "-d", root, disk]);
  fs.rmSync(root, { recursive: true, force: true });
}

function buildInitramfs(folder, kernelVersion) {
  const root = join(folder, "initramfs");
  for (const name of ["bin", "dev", "proc", "sys", "mnt", "modules"]) {
    fs.mkdirSync(join(root, name), { recursive: true });
  }
  fs.copyFileSync("/bin/busybox", join(root, "bin/busybox"));
  fs.copyFileSync(join(here, "initramfs-init.sh"), join(root, "init"));
  fs.chmodSync(join(root, "init"), 0o755);
  const order = [];
  for (const module of DISK_MODULES) {
    const plan = run("modprobe", ["-S", kernelVersion, "--show-depends", "-a", module]);
    for (const [, file] of plan.matchAll(/^insmod (\S+\.ko)\b/gm)) {
      const name = file.slice(file.lastIndexOf("/") + 1);
      if (order.includes(name)) continue;
      fs.copyFileSync(file, join(root, "modules", name));
      order.push(name);
    }
  }
  fs.writeFileSync(join(root, "modules/order"), `${order.join("\n")}\n`);
  const pack = 'cd "$1" && find . | cpio -o -H newc --quiet | gzip -1 > "$2"';
  run("sh", ["-c", pack, "sh", root, join(folder, "initramfs.gz")]);
  fs.rmSync(root, { recursive: true, force: true });
}

function run(command, args) {
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, LC_ALL: "C" };
  return execFileSync(command, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    env,
  });
}
