import { mkdir, readFile, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { describe, expect, it } from "vitest";
import { vmFiles } from "../../../src/hypervisor/vm-folder.js";
import { VmProcess } from "../../../src/hypervisor/vm-process.js";
import { loadNative, type NativeBinding } from "../../../src/native/binding.js";
import { msbPaths } from "../../../src/paths.js";
import { tempDir } from "../../helpers/temp-dir.js";

describe("taking over a VM", () => {
  it.each([
    ["of a system that has no way to", "ENOSYS", "MSB_ERR_PLATFORM_UNSUPPORTED", "Linux 5.3"],
    ["that fails otherwise", "EMFILE", "MSB_ERR_INTERNAL", "pidfd_open"],
  ] as const)("%s is an error and leaves its folder", async (_name, errno, code, words) => {
    const paths = msbPaths(await tempDir());
    const { pidFile } = vmFiles(paths.vmDir("box"));
    await mkdir(paths.vmDir("box"), { recursive: true });
    const note = `${process.pid} ${loadNative().processStartTime(process.pid)}\n`;
    await writeFile(pidFile, note);
    const native = {
      watchMicroVm: () => {
        const facts = { code: "MSB_NATIVE", operation: "pidfd_open" };
        throw Object.assign(new Error(errno), facts, { errno: constants.errno[errno] });
      },
    } as Partial<NativeBinding> as NativeBinding;
    await expect(VmProcess.adopt(native, "box", paths)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(words),
    });
    expect(await readFile(pidFile, "utf8")).toBe(note);
  });

  it("that nobody knows tells nothing", async () => {
    const paths = msbPaths(await tempDir());
    expect(await VmProcess.adopt(loadNative(), "nobody", paths)).toEqual({ ended: null });
  });
});
