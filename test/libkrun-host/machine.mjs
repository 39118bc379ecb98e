/* oxlint-disable no-console -- what it says is for people */
/** Boots the emulated KVM host with one job, shows its console, and brings /out and the exit code back. */
import { execFileSync, spawn } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";

/** What the host says when it is. */
export const HOST_UP = "HOST UP";
/** The host is up in 4 to 8 s; a kernel that has hung will not come. */
const UP_TIMEOUT_MS = 60_000;
/** Its KVM needs the first two; fast `rep movsb` is emulated byte by byte. */
const CPU = "max,+svm,+npt,erms=off,fsrm=off";
const OUT_BYTES = 512 * 1024 ** 2;
/** No exit code came out of the host. */
const EXIT_LOST = 125;

/** Resolves with the job's exit code; one more try if the host itself does not come up. */
export async function runInHost(image, jobDisk, { scratch, outDir, timeoutMs, signal }) {
  for (let attempt = 1; ; attempt += 1) {
    const outDisk = join(scratch, "out.raw");
    fs.rmSync(outDisk, { force: true });
    fs.writeFileSync(outDisk, "");
    fs.truncateSync(outDisk, OUT_BYTES);
    const end = await boot(image, jobDisk, outDisk, { timeoutMs, signal });
    signal.throwIfAborted();
    if (end === "not-up" && attempt === 1) {
      console.error(`the host was not up within ${UP_TIMEOUT_MS / 1000} s; one more try`);
      continue;
    }
    if (end === "not-up") throw new Error("the emulated KVM host did not come up twice");
    if (end === "timeout") throw new Error(`the job did not end within ${timeoutMs / 1000} s`);
    return readOut(outDisk, outDir);
  }
}

function boot(image, jobDisk, outDisk, { timeoutMs, signal }) {
  const disk = (id, file, drive) =>
    [
      ["-drive", `id=${id},if=none,format=raw,file=${file},${drive}`],
      ["-device", `virtio-blk-pci,drive=${id},serial=${id}`],
    ].flat();
  // q35: Debian's kernel hangs at early boot on -M microvm now and then. One vCPU: two are slower here.
  const args = [
    ["-M", "q35", "-accel", "tcg", "-cpu", CPU, "-m", "4096", "-smp", "1"],
    ["-nodefaults", "-no-user-config", "-nographic", "-no-reboot", "-serial", "stdio"],
    ["-kernel", image.kernel, "-initrd", image.initramfs],
    ["-append", "console=ttyS0 quiet loglevel=3 panic=-1"],
    disk("root", image.disk, "snapshot=on"),
    disk("job", jobDisk, "readonly=on"),
    disk("out", outDisk, "cache=unsafe"),
    ["-device", "virtio-rng-pci"],
  ].flat();
  return new Promise((resolve, reject) => {
    // The machine dies with this process, even if that is killed.
    const qemu = spawn("setpriv", ["--pdeathsig", "KILL", "qemu-system-x86_64", ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let end = "ended";
    let isUp = false;
    let head = "";
    const kill = (why) => {
      end = why;
      qemu.kill("SIGKILL");
    };
    const onAbort = () => kill("aborted");
    const upTimer = setTimeout(() => kill("not-up"), UP_TIMEOUT_MS);
    const jobTimer = setTimeout(() => kill("timeout"), timeoutMs);
    signal.addEventListener("abort", onAbort, { once: true });
    qemu.stdout.setEncoding("utf8");
    qemu.stdout.on("data", (chunk) => {
      if (isUp) return show(chunk);
      // The firmware's words interest only when nothing follows them.
      head += chunk;
      const at = head.indexOf(HOST_UP);
      if (at < 0) return;
      isUp = true;
      clearTimeout(upTimer);
      show(head.slice(at));
    });
    const settle = () => {
      clearTimeout(upTimer);
      clearTimeout(jobTimer);
      signal.removeEventListener("abort", onAbort);
    };
    qemu.once("error", (error) => {
      settle();
      reject(error);
    });
    qemu.once("close", () => {
      settle();
      if (!isUp && end !== "aborted") show(`${head}\n`);
      // A kernel that panics early ends the machine: as good as one that hangs.
      resolve(end === "ended" && !isUp ? "not-up" : end);
    });
  });
}

/** The serial console ends lines with CR LF, and programs think it is a terminal. */
function show(text) {
  // oxlint-disable-next-line no-control-regex
  process.stdout.write(text.replaceAll("\r\n", "\n").replaceAll(/\x1b\[[0-9;?]*[A-Za-z]/g, ""));
}

function readOut(outDisk, outDir) {
  fs.mkdirSync(outDir, { recursive: true });
  try {
    execFileSync("tar", ["-C", outDir, "-xf", outDisk], { stdio: "ignore" });
    return Number(fs.readFileSync(join(outDir, "exit"), "utf8"));
  } catch {
    console.error("no exit code came out of the emulated KVM host");
    return EXIT_LOST;
  }
}
