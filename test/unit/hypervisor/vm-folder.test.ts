import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  claimVmFolder,
  recordSupervisor,
  sweepVmFolders,
} from "../../../src/hypervisor/vm-folder.js";

describe("a VM's folder", () => {
  let home: string;
  let folder: string;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), "msb-vm-folder-"));
    folder = join(home, "vms", "box");
  });
  afterEach(() => rm(home, { recursive: true, force: true }));

  it("is made once while its supervisor lives", async () => {
    await claimVmFolder(folder, "box");
    await recordSupervisor(folder, process.pid);
    await expect(claimVmFolder(folder, "box")).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      message: expect.stringContaining("runs already"),
    });
  });

  it("is in use from the first moment, before there is a supervisor", async () => {
    await claimVmFolder(folder, "box");
    await expect(claimVmFolder(folder, "box")).rejects.toThrow("runs already");
  });

  it.each([
    ["a process that is gone", "999999999 1"],
    ["another process with the same number", `${process.pid} 1`],
    ["nothing that can be read", "x"],
  ])("is taken over when its note names %s", async (_name, note) => {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "vmm.pid"), note);
    await writeFile(join(folder, "agent.sock"), "");
    await claimVmFolder(folder, "box");
    expect(await readdir(folder)).toEqual([]);
  });

  it("is swept when its VM is gone, and only then", async () => {
    await claimVmFolder(folder, "box");
    await recordSupervisor(folder, process.pid);
    const gone = join(home, "vms", "gone");
    await mkdir(gone);
    await writeFile(join(gone, "vmm.pid"), "999999999 1");
    await sweepVmFolders(join(home, "vms"));
    expect(await readdir(join(home, "vms"))).toEqual(["box"]);
    await sweepVmFolders(join(home, "no-such-folder"));
  });

  it("is taken over when its maker died before it had a supervisor", async () => {
    await mkdir(folder, { recursive: true });
    await utimes(folder, 1, 1);
    await claimVmFolder(folder, "box");
    expect(await readdir(folder)).toEqual([]);
  });
});
