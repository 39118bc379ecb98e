import { describe, expect, it } from "vitest";
import type { QemuAccelerator } from "../../../src/config.js";
import { QemuDriver } from "../../../src/hypervisor/qemu-driver.js";
import { loadNative } from "../../../src/native/binding.js";
import { msbPaths } from "../../../src/paths.js";
import { fakeConfig } from "../../helpers/fake-driver.js";
import { tempDir } from "../../helpers/temp-dir.js";

async function driver(accelerator: QemuAccelerator): Promise<QemuDriver> {
  return new QemuDriver({
    native: loadNative(),
    paths: msbPaths(await tempDir()),
    vmmPath: "/nonexistent/msb-vmm",
    accelerator,
    findQemu: async () => ({ path: "/nonexistent/qemu", version: "8.0.0" }),
    kernelPath: "/nonexistent/kernel",
    tscKhz: () => null,
  });
}

describe("QEMU as a driver", () => {
  it("keeps emulated VMs, whose boots take long, and no others", async () => {
    expect(await (await driver("kvm")).saving()).toBeNull();
    expect(await (await driver("hvf")).saving()).toBeNull();
    expect((await (await driver("tcg")).saving()) !== null).toBe(process.platform === "linux");
  });

  it.runIf(process.platform === "linux")(
    "checks the config of a VM that is to be kept as that of any other",
    async () => {
      const saving = (await (await driver("tcg")).saving())!;
      const config = { ...fakeConfig, memoryMiB: 1, upperDisk: "/dev/null" };
      await expect(saving.boot({ ...config, vcpuCount: 0 })).rejects.toMatchObject({
        code: "MSB_ERR_INVALID_ARGUMENT",
      });
    },
  );
});
