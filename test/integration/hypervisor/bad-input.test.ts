/** What cannot work is refused with a code, what was tried and what to do, and leaves nothing behind. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeEmptyImage } from "../../../src/disk/empty-image.js";
import { ensureInitramfs } from "../../../src/disk/initramfs.js";
import type { HypervisorDriver, VmConfig } from "../../../src/hypervisor/driver.js";
import { LibkrunDriver } from "../../../src/hypervisor/libkrun-driver.js";
import { QemuDriver } from "../../../src/hypervisor/qemu-driver.js";
import { vmmPath } from "../../../src/native/binaries.js";
import { type HostProbe, loadNative, type NativeBinding } from "../../../src/native/binding.js";
import { type MsbPaths, msbPaths } from "../../../src/paths.js";
import { childrenOf } from "../../helpers/processes.js";

describe("a boot that cannot work", () => {
  let dir: string;
  let paths: MsbPaths;
  let config: VmConfig;
  let children: number[];

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "msb-bad-"));
    paths = msbPaths(join(dir, "home"));
    const erofs = join(dir, "image.erofs");
    await writeEmptyImage(erofs);
    config = {
      id: "bad",
      vcpuCount: 1,
      memoryMiB: 128,
      initramfs: await ensureInitramfs("/bin/true", paths),
      imageDisk: erofs,
      upperDisk: null,
      lifetime: "owner",
      leaseMs: 0,
    };
    children = await childrenOf(process.pid);
  });
  afterEach(async () => {
    expect(await childrenOf(process.pid)).toEqual(children);
    expect(await readdir(paths.vmRoot).catch(() => [])).toEqual([]);
    await rm(dir, { recursive: true, force: true });
  });

  const qemu = (opts: { qemuPath?: string } = {}): QemuDriver =>
    new QemuDriver({
      native: loadNative(),
      paths,
      vmmPath: vmmPath(),
      accelerator: "tcg",
      findQemu: async () => ({ path: opts.qemuPath ?? "/bin/false", version: "0" }),
      kernelPath: join(dir, "no-kernel.elf"),
      tscKhz: () => null,
    });
  const able: Omit<HostProbe, "libkrun"> = {
    platform: "linux",
    arch: "x64",
    kvm: { devicePresent: true, openErrno: null, apiVersion: 12, createVmErrno: null },
    cpuFlags: { vmx: true, svm: false, hypervisor: false },
    cpuCount: 2,
    memoryMiB: 4096,
    hvf: null,
  };
  /** The driver on a host that has everything but a real library. */
  const libkrun = (libraryPath: string, host: Partial<HostProbe> = {}): LibkrunDriver => {
    const native: NativeBinding = {
      ...loadNative(),
      probeHost: async (opts) => ({ ...(await loadNative().probeHost(opts)), ...able, ...host }),
    };
    return new LibkrunDriver({
      native,
      paths,
      vmmPath: vmmPath(),
      libkrun: { path: libraryPath },
      kernelPath: join(dir, "no-kernel.elf"),
      kernelFormat: "elf",
    });
  };

  it.each<[string, Partial<VmConfig>, string, RegExp]>([
    ["no memory", { memoryMiB: 0 }, "MSB_ERR_INVALID_ARGUMENT", /memoryMiB cannot be 0/],
    ["half a MiB", { memoryMiB: 100.5 }, "MSB_ERR_INVALID_ARGUMENT", /memoryMiB/],
    [
      "more memory than the host has",
      { memoryMiB: Math.ceil(totalmem() / 1024 ** 2) + 1 },
      "MSB_ERR_INVALID_ARGUMENT",
      /on this host/,
    ],
    ["300 vCPUs", { vcpuCount: 300 }, "MSB_ERR_INVALID_ARGUMENT", /vcpuCount cannot be 300/],
    ["no vCPU", { vcpuCount: 0 }, "MSB_ERR_INVALID_ARGUMENT", /vcpuCount/],
    ["a name with a path", { id: "../x" }, "MSB_ERR_INVALID_ARGUMENT", /id cannot be/],
    ["a negative lease", { leaseMs: -1 }, "MSB_ERR_INVALID_ARGUMENT", /leaseMs/],
    ["a missing initramfs", { initramfs: "/no/cpio" }, "MSB_ERR_DISK_NOT_FOUND", /\/no\/cpio/],
    [
      "an initramfs that is none",
      { initramfs: "/etc/passwd" },
      "MSB_ERR_DISK_INVALID",
      /initramfs/,
    ],
    ["a missing image", { imageDisk: "/no/image" }, "MSB_ERR_DISK_NOT_FOUND", /\/no\/image/],
    ["a missing upper disk", { upperDisk: "/no/upper" }, "MSB_ERR_DISK_NOT_FOUND", /\/no\/upper/],
    ["an image that is no EROFS", { imageDisk: "/etc/passwd" }, "MSB_ERR_DISK_INVALID", /EROFS/],
    ["an upper disk that is no ext4", { upperDisk: "/etc/passwd" }, "MSB_ERR_DISK_INVALID", /ext4/],
  ])("for %s is refused before anything starts", async (_name, change, code, words) => {
    const boot = (driver: HypervisorDriver): Promise<unknown> =>
      driver.boot({ ...config, ...change });
    await expect(boot(qemu())).rejects.toMatchObject({
      code,
      message: expect.stringMatching(words),
    });
  });

  it("for a QEMU that dies at once says so with its words", async () => {
    const script = join(dir, "qemu");
    await writeFile(script, "#!/bin/sh\necho 'could not load kernel' >&2\nexit 1\n", {
      mode: 0o755,
    });
    const vm = await qemu({ qemuPath: script }).boot(config);
    const exit = await vm.exited;
    expect(exit).toMatchObject({
      exitCode: 1,
      reason: "guest",
      stderrTail: "could not load kernel",
    });
    await expect(vm.alive).rejects.toMatchObject({
      code: "MSB_ERR_VM_EXITED",
      message: expect.stringContaining("could not load kernel"),
    });
  });

  it("for a name that is taken leaves the running VM alone", async () => {
    const script = join(dir, "qemu");
    await writeFile(script, "#!/bin/sh\nexec sleep 60\n", { mode: 0o755 });
    const vm = await qemu({ qemuPath: script }).boot(config);
    await expect(qemu({ qemuPath: script }).boot(config)).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      message: expect.stringContaining("runs already"),
    });
    expect(await readdir(paths.vmDir(config.id))).toContain("agent.sock");
    expect(await vm.stop()).toMatchObject({ reason: "stopped", signal: 9 });
    await (await qemu({ qemuPath: script }).boot(config)).stop();
  });

  it("for a QEMU that cannot be executed names the step and errno", async () => {
    await expect(qemu({ qemuPath: "/no/qemu" }).boot(config)).rejects.toMatchObject({
      code: "MSB_ERR_BOOT_FAILED",
      message: expect.stringContaining("/no/qemu"),
      details: { errno: 2 },
    });
  });

  it("for a library that is none says what the loader said", async () => {
    await expect(libkrun("/no/libkrun.so").boot(config)).rejects.toMatchObject({
      code: "MSB_ERR_LIBKRUN_INVALID",
      message: expect.stringContaining("/no/libkrun.so"),
    });
    const text = join(dir, "libkrun.so");
    await writeFile(text, "not a library");
    await expect(libkrun(text).boot(config)).rejects.toMatchObject({
      code: "MSB_ERR_LIBKRUN_INVALID",
    });
  });

  it("for another library than libkrun names the functions that are missing", async () => {
    const other = loadedLibrary(await readFile("/proc/self/maps", "utf8"));
    await expect(libkrun(other).boot(config)).rejects.toMatchObject({
      code: "MSB_ERR_LIBKRUN_INVALID",
      message: expect.stringContaining("krun_create_ctx"),
    });
  });

  it("for want of /dev/kvm's permission names the group", async () => {
    const host = {
      kvm: { ...able.kvm, openErrno: 13 },
      libkrun: { path: "/x", ok: true, netFeature: true, blkFeature: true, maxVcpus: 8 },
    };
    await expect(libkrun("/x", host).boot(config)).rejects.toMatchObject({
      code: "MSB_ERR_KVM_UNAVAILABLE",
      message: expect.stringContaining("group kvm"),
    });
  });

  it("for a home whose socket paths are too long says so", async () => {
    paths = msbPaths(join(dir, "x".repeat(120)));
    await expect(qemu().boot(config)).rejects.toMatchObject({
      code: "MSB_ERR_BOOT_FAILED",
      message: expect.stringContaining("shorter MSB_HOME"),
    });
  });
});

/** The path of libc, a library that is surely there and surely not libkrun. */
function loadedLibrary(maps: string): string {
  const found = /(\/\S*libc\.so\.6)$/m.exec(maps)?.[1];
  if (found === undefined) throw new Error("no libc among the mappings");
  return found;
}
