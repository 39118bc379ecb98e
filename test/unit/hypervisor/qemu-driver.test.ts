import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { QemuAccelerator } from "../../../src/config.js";
import { QemuDriver, type QemuDriverOpts } from "../../../src/hypervisor/qemu-driver.js";
import { loadNative } from "../../../src/native/binding.js";
import { msbPaths } from "../../../src/paths.js";
import { fakeConfig } from "../../helpers/fake-driver.js";
import { tempDir } from "../../helpers/temp-dir.js";

async function driver(
  accelerator: QemuAccelerator,
  opts: Partial<QemuDriverOpts> = {},
): Promise<QemuDriver> {
  return new QemuDriver({
    native: loadNative(),
    paths: msbPaths(await tempDir()),
    vmmPath: "/nonexistent/msb-vmm",
    accelerator,
    findQemu: async () => ({ path: "/nonexistent/qemu", version: "8.0.0" }),
    kernelPath: "/nonexistent/kernel",
    tscKhz: () => null,
    ...opts,
  });
}

describe("QEMU as a driver", () => {
  it("keeps emulated VMs, whose boots take long, and no others", async () => {
    expect(await (await driver("kvm")).saving()).toBeNull();
    expect(await (await driver("hvf")).saving()).toBeNull();
    expect((await (await driver("tcg")).saving()) !== null).toBe(process.platform === "linux");
  });

  it.runIf(process.platform === "linux")(
    "says with what a kept VM goes on: other words for another QEMU or kernel at the same path",
    async () => {
      const folder = await tempDir();
      const files = { qemu: join(folder, "qemu"), kernel: join(folder, "kernel") };
      const put = async (file: string, text: string): Promise<void> => {
        await writeFile(`${file}.new`, text);
        await rename(`${file}.new`, file);
      };
      let version = "8.0.0";
      const saving = (await (
        await driver("tcg", {
          findQemu: async () => ({ path: files.qemu, version }),
          kernelPath: files.kernel,
        })
      ).saving())!;
      await expect(saving.fingerprint()).rejects.toMatchObject({ code: "ENOENT" });
      await put(files.qemu, "one");
      await put(files.kernel, "one");
      const first = await saving.fingerprint();
      expect(await saving.fingerprint()).toBe(first);
      await put(files.qemu, "upgraded");
      const second = await saving.fingerprint();
      await put(files.kernel, "upgraded");
      const third = await saving.fingerprint();
      version = "9.0.0";
      expect(new Set([first, second, third, await saving.fingerprint()]).size).toBe(4);
    },
  );

  it.runIf(process.platform === "linux")(
    "checks the config of a VM that is to be kept as that of any other",
    async () => {
      const saving = (await (await driver("tcg")).saving())!;
      const folder = await tempDir();
      const initramfs = join(folder, "boot.cpio");
      await writeFile(initramfs, "070701".padEnd(2048, "0"));
      const config = { ...fakeConfig, upperDisk: "/dev/null" };
      await expect(saving.boot({ ...config, vcpuCount: 0 })).rejects.toMatchObject({
        code: "MSB_ERR_INVALID_ARGUMENT",
      });
      // Before there is memory of that size, and before the private disk is opened.
      await expect(saving.boot({ ...config, memoryMiB: -1 })).rejects.toMatchObject({
        details: { option: "memoryMiB" },
      });
      const imageDisk = join(folder, "image.erofs");
      const missing = { ...config, initramfs, imageDisk, upperDisk: join(folder, "nope") };
      await expect(saving.boot(missing)).rejects.toMatchObject({
        code: "MSB_ERR_DISK_NOT_FOUND",
        details: { path: imageDisk },
      });
    },
  );
});
