/** What becomes of a detached VM when its owner is killed, and what the next one finds of it. */
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { VmExit } from "../../../src/hypervisor/driver.js";
import { runningVms, sweepVmFolders, vmFiles } from "../../../src/hypervisor/vm-folder.js";
import { VmProcess } from "../../../src/hypervisor/vm-process.js";
import { type MsbPaths, msbPaths } from "../../../src/paths.js";
import { Program } from "../../helpers/program.js";
import type { OwnerJob } from "./owner-program.js";
import { isGone, native, tempFolder, TestHost, until } from "./vmm-fixture.js";

interface Pids {
  readonly supervisor: number;
  readonly vm: number;
}

/** A VM `box` in an MSB_HOME of its own, and the process that has started it. */
interface Owned extends Pids {
  readonly paths: MsbPaths;
  readonly folder: string;
  readonly owner: Program<Pids>;
}

async function startOwner(script: string, more: Partial<OwnerJob> = {}): Promise<Owned> {
  const home = tempFolder();
  const disk = join(home, "disk");
  writeFileSync(disk, "");
  const job: OwnerJob = {
    home,
    id: "box",
    script,
    disk,
    lifetime: "detached",
    leaseMs: 0,
    whenTold: "end",
    ...more,
  };
  const owner = Program.start<Pids>("owner-program.ts", import.meta.url, job);
  const pids = await owner.line();
  onTestFinished(() => {
    if (!isGone(pids.supervisor)) process.kill(pids.supervisor, "SIGKILL");
  });
  const paths = msbPaths(home);
  return { ...pids, paths, folder: paths.vmDir("box"), owner };
}

/** The same, with its owner killed. */
async function orphan(script: string, more: Partial<OwnerJob> = {}): Promise<Owned> {
  const owned = await startOwner(script, more);
  await owned.owner.kill();
  return owned;
}

async function adopt({ paths }: Owned): Promise<VmProcess> {
  const vm = await VmProcess.adopt(native, "box", paths);
  if (!(vm instanceof VmProcess)) throw new Error(`it has ended: ${JSON.stringify(vm)}`);
  onTestFinished(() => vm.stop().then(() => {}));
  return vm;
}

/** How it ended, once it has. */
async function endOf(owned: Owned): Promise<VmExit | null> {
  await until(() => isGone(owned.supervisor));
  const found = await VmProcess.adopt(native, "box", owned.paths);
  if (!("ended" in found)) throw new Error("it runs");
  expect(existsSync(owned.folder)).toBe(false);
  return found.ended;
}

const ECHO = "printf hello >&4; exec cat <&3 >&3";

describe("a VM whose owner was killed", () => {
  test("is taken over: what it is, its console, its agent, its end", async () => {
    const owned = await orphan("printf hello >&4; read x <&3; printf more >&4; exec cat <&3 >&3");
    expect(isGone(owned.vm)).toBe(false);
    expect(await runningVms(owned.paths.vmRoot)).toEqual(["box"]);
    const vm = await adopt(owned);
    expect(vm).toMatchObject({
      id: "box",
      driver: "qemu",
      pid: owned.supervisor,
      vmPid: owned.vm,
      confinement: expect.arrayContaining(["no_new_privs"]),
    });
    expect(vm.stages.map(({ stage }) => stage)).toEqual(
      expect.arrayContaining(["sanitized", "configured", "forked", "entering"]),
    );
    await vm.alive;
    await until(() => vm.consoleTail() === "hello");
    let seen = "";
    const stopListening = vm.onConsole((bytes) => (seen += bytes.toString()));
    const host = await TestHost.connect(vm.agentSocket);
    host.socket.write("go\n");
    await until(() => seen === "more");
    stopListening();
    host.socket.write("still here?");
    await until(() => host.text === "still here?");
    expect(await vm.stop()).toMatchObject({ reason: "stopped", consoleTail: "hellomore" });
    expect(isGone(owned.supervisor)).toBe(true);
    expect(isGone(owned.vm)).toBe(true);
    expect(existsSync(owned.folder)).toBe(false);
    expect(await runningVms(owned.paths.vmRoot)).toEqual([]);
  });

  test("is told from one whose lease ran out, that ended by itself, or that was killed", async () => {
    const lease = await orphan("printf waiting >&4; exec sleep 600", { leaseMs: 1_500 });
    const guest = await orphan("sleep 1; printf 'that was all' >&4; echo oops >&2; exit 3");
    const killed = await orphan("printf alive >&4; exec sleep 600");
    const unattended = await orphan("exec sleep 600");
    process.kill(killed.vm, "SIGKILL");
    process.kill(unattended.supervisor, "SIGKILL");
    expect(await endOf(guest)).toEqual({
      reason: "guest",
      exitCode: 3,
      signal: null,
      consoleTail: "that was all",
      stderrTail: "oops",
    });
    expect(await endOf(killed)).toMatchObject({ reason: "killed", exitCode: null, signal: 9 });
    // Nobody was there to see how.
    expect(await endOf(unattended)).toMatchObject({
      reason: "killed",
      exitCode: null,
      signal: null,
    });
    await until(() => isGone(unattended.vm));
    expect(await endOf(lease)).toMatchObject({ reason: "lease", consoleTail: "waiting" });
    expect(await endOf(lease)).toBeNull();
  });

  test("tells its new owner how it ends, as if it were its own", async () => {
    const killed = await adopt(await orphan("exec sleep 600"));
    process.kill(killed.vmPid!, "SIGKILL");
    expect(await killed.exited).toMatchObject({ reason: "killed", signal: 9 });
    await expect(killed.alive).rejects.toMatchObject({ code: "MSB_ERR_VM_EXITED" });

    const unattended = await adopt(await orphan("exec sleep 600"));
    process.kill(unattended.pid, "SIGKILL");
    expect(await unattended.exited).toMatchObject({
      reason: "killed",
      exitCode: null,
      signal: null,
    });

    const guest = await adopt(await orphan("read x <&3; printf bye >&4; exit 4"));
    const host = await TestHost.connect(guest.agentSocket);
    host.socket.write("go\n");
    expect(await guest.exited).toMatchObject({ reason: "guest", exitCode: 4, consoleTail: "bye" });

    const lease = await adopt(await orphan("exec sleep 600", { leaseMs: 1_500 }));
    expect(await lease.exited).toMatchObject({ reason: "lease", signal: 9 });
  });

  test("is found by the supervisor's own word when the owner's note is not there", async () => {
    const owned = await orphan(ECHO);
    await rm(vmFiles(owned.folder).pidFile);
    const vm = await adopt(owned);
    expect(vm.pid).toBe(owned.supervisor);
  });

  test("is not swept by others while it runs, nor before somebody asked how it ended", async () => {
    const owned = await orphan("read x <&3; exit 0");
    await sweepVmFolders(owned.paths.vmRoot);
    expect(existsSync(owned.folder)).toBe(true);
    const host = await TestHost.connect(vmFiles(owned.folder).agentSocket);
    host.socket.write("go\n");
    await until(() => isGone(owned.supervisor));
    await sweepVmFolders(owned.paths.vmRoot);
    expect(await endOf(owned)).toMatchObject({ reason: "guest", exitCode: 0 });
  });

  test("is gone with it and swept when it was not detached", async () => {
    const owned = await orphan("exec sleep 600", { lifetime: "owner" });
    await until(() => isGone(owned.supervisor));
    await sweepVmFolders(owned.paths.vmRoot);
    expect(existsSync(owned.folder)).toBe(false);
  });

  test("is never mistaken for a process that has its number now", async () => {
    const owned = await orphan("exec sleep 600");
    process.kill(owned.supervisor, "SIGKILL");
    await until(() => isGone(owned.supervisor));
    const { pidFile } = vmFiles(owned.folder);
    const note = readFileSync(pidFile, "utf8");
    // As if this process had got the supervisor's number.
    await writeFile(pidFile, note.replace(/^\d+/, `${process.pid}`));
    expect(await runningVms(owned.paths.vmRoot)).toEqual([]);
    expect(await endOf(owned)).toMatchObject({ reason: "killed" });
  });

  test("cannot fill the host's disk with its report", async () => {
    const flood = "head -c 1000000 /dev/urandom | tr '\\000-\\377' '\\377'";
    const owned = await orphan(`${flood} >&4; ${flood} >&2; read x <&3; ${flood} >&2; exit 7`);
    const { reportFile, agentSocket } = vmFiles(owned.folder);
    const host = await TestHost.connect(agentSocket);
    expect(statSync(reportFile).mode & 0o777).toBe(0o600);
    expect(statSync(reportFile).size).toBeLessThan(4_096);
    host.socket.write("go\n");
    await until(() => isGone(owned.supervisor));
    // 4 KiB of standard error and 8 KiB of console, each byte as six characters.
    expect(statSync(reportFile).size).toBeGreaterThan(12 * 1024 * 6);
    expect(statSync(reportFile).size).toBeLessThan(128 * 1024);
    expect(await endOf(owned)).toMatchObject({ reason: "guest", exitCode: 7 });
  });
});

describe("a VM that its owner released", () => {
  test("lets its owner end and goes on, for the next one", async () => {
    const owned = await startOwner(ECHO, { whenTold: "release" });
    owned.owner.say("go");
    await owned.owner.succeeds();
    const vm = await adopt(owned);
    expect(vm.vmPid).toBe(owned.vm);
  });

  test("leaves its folder at its end although its last owner still runs", async () => {
    const owned = await orphan("exec sleep 600");
    const vm = await adopt(owned);
    vm.release();
    process.kill(owned.vm, "SIGKILL");
    await vm.exited;
    expect(existsSync(owned.folder)).toBe(true);
    expect(await endOf(owned)).toMatchObject({ reason: "killed", signal: 9 });
  });
});

describe("watchMicroVm", () => {
  test("watches only the process that was meant", () => {
    const startTime = native.processStartTime(process.pid);
    expect(startTime).toMatch(/^\d+@[0-9a-f]{8}$/);
    expect(native.watchMicroVm(process.pid, `${startTime}0`)).toBeNull();
    expect(native.watchMicroVm(999_999_999, startTime!)).toBeNull();
    expect(native.processStartTime(999_999_999)).toBeNull();
  });

  test("tells the end of a process once, to all who watch it, and signals nobody afterwards", async () => {
    const owned = await orphan("exec sleep 600");
    const startTime = native.processStartTime(owned.supervisor)!;
    const handles = Array.from({ length: 3 }, () =>
      native.watchMicroVm(owned.supervisor, startTime),
    );
    expect(handles.map((handle) => handle?.pid)).toEqual(Array(3).fill(owned.supervisor));
    expect(handles[0]!.kill(0)).toBe(true);
    expect(handles[1]!.kill("SIGTERM")).toBe(true);
    for (const handle of handles) {
      expect(await handle!.exited).toEqual({ exitCode: null, signal: null });
      expect(handle!.kill("SIGTERM")).toBe(false);
    }
    expect(native.watchMicroVm(owned.supervisor, startTime)).toBeNull();
  });

  test.each([[0], [-1], [1.5], [2 ** 31], ["1"], [undefined]])("refuses %j as a pid", (pid) => {
    expect(() => native.watchMicroVm(pid as number, "1")).toThrow(TypeError);
    expect(() => native.processStartTime(pid as number)).toThrow(TypeError);
  });

  test("refuses a start time that is no string", () => {
    expect(() => native.watchMicroVm(process.pid, 1 as never)).toThrow(TypeError);
  });
});

test("an owner that lives removes the folder of its detached VM, since it knows the end", async () => {
  const owned = await startOwner("exec sleep 600");
  expect(existsSync(owned.folder)).toBe(true);
  process.kill(owned.vm, "SIGKILL");
  await until(() => !existsSync(owned.folder));
  expect(isGone(owned.owner.pid)).toBe(false);
  await owned.owner.kill();
});
