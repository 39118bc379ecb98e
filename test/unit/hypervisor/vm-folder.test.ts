import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  claimVmFolder,
  recordSupervisor,
  runningVms,
  supervisorOf,
  sweepVmFolders,
} from "../../../src/hypervisor/vm-folder.js";
import { loadNative } from "../../../src/native/binding.js";

/** The note of a supervisor that is gone. */
const GONE = "999999999 1\n";

/** A folder with a report of one line. */
async function leave(folder: string, line: object): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "report.jsonl"), `${JSON.stringify(line)}\n`);
}

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
    ["a process that is gone", "999999999 1\n"],
    ["another process with the same number", `${process.pid} 1\n`],
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
    await writeFile(join(gone, "vmm.pid"), GONE);
    await sweepVmFolders(join(home, "vms"));
    expect(await readdir(join(home, "vms"))).toEqual(["box"]);
    await sweepVmFolders(join(home, "no-such-folder"));
  });

  it.each([
    ["no note", undefined],
    ["a note that was not written to its end", `${process.pid} 1`],
  ])("is taken over when its maker died long ago and left %s", async (_name, note) => {
    await mkdir(folder, { recursive: true });
    if (note !== undefined) await writeFile(join(folder, "vmm.pid"), note);
    await expect(claimVmFolder(folder, "box")).rejects.toThrow("runs already");
    await utimes(folder, 1, 1);
    await claimVmFolder(folder, "box");
    expect(await readdir(folder)).toEqual([]);
  });

  it("is in use when only the supervisor itself says whose it is", async () => {
    const startTime = loadNative().processStartTime(process.pid);
    await leave(folder, { stage: "sanitized", atMs: 0, pid: process.pid, startTime });
    await utimes(folder, 1, 1);
    await expect(claimVmFolder(folder, "box")).rejects.toThrow("runs already");
    expect(await supervisorOf(folder)).toEqual({ pid: process.pid, startTime });
    expect(await runningVms(join(home, "vms"))).toEqual(["box"]);
  });

  it.each([
    ["a number that is none", { pid: -1, startTime: "1" }],
    ["a number that is too large", { pid: 2 ** 40, startTime: "1" }],
    ["no start time", { pid: process.pid }],
  ])("names no supervisor when the report has %s", async (_name, facts) => {
    await leave(folder, { stage: "sanitized", atMs: 0, ...facts });
    expect(await supervisorOf(folder)).toBeUndefined();
    expect(await runningVms(join(home, "vms"))).toEqual([]);
  });

  it("of a detached VM that has ended is kept for a week, of another one it is not", async () => {
    const root = join(home, "vms");
    for (const [name, detached] of Object.entries({ new: true, old: true, owned: false })) {
      await leave(join(root, name), { stage: "configured", atMs: 1, detached });
      await writeFile(join(root, name, "vmm.pid"), GONE);
    }
    const eightDaysAgo = Date.now() / 1000 - 8 * 24 * 3600;
    await utimes(join(root, "old", "report.jsonl"), eightDaysAgo, eightDaysAgo);
    await sweepVmFolders(root);
    expect(await readdir(root)).toEqual(["new"]);
    expect(await runningVms(root)).toEqual([]);
    await claimVmFolder(join(root, "new"), "new");
    expect(await readdir(join(root, "new"))).toEqual([]);
  });
});
