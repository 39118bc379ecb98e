/** QEMU's own part of saved VMs: copies that share nothing, and saves and states that do not work. */
import * as fs from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AgentClient } from "../../src/agent/agent-client.js";
import type { SavedVm, VmConfig, VmSaving } from "../../src/hypervisor/driver.js";
import { SavedFiles, SavedQemuVm } from "../../src/hypervisor/qemu-saved-vm.js";
import { loadNative } from "../../src/native/binding.js";
import { Guest } from "../../src/sandbox/guest.js";
import type { SavedGuest } from "../../src/sandbox/guest-source.js";
import { saveGuest } from "../../src/sandbox/save-guest.js";
import { childrenOf, isRunning } from "../helpers/processes.js";
import { BOOT_TIMEOUT_MS, VmFixture, vmFolders } from "../helpers/vm-fixture.js";

const HOW = { timeoutMs: BOOT_TIMEOUT_MS };

describe("a saved microVM of QEMU", () => {
  let fixture: VmFixture;
  let saving: VmSaving;
  let base: VmConfig;
  let saved: SavedGuest;
  let counter: number;
  beforeAll(async () => {
    fixture = await VmFixture.open("qemu");
    saving = (await fixture.driver.saving())!;
    base = await fixture.config();
    const prepare = (agent: AgentClient): Promise<void> => agent.files.write("/dev/shm/made", "1");
    ({ saved } = await saveGuest(saving, base, prepare, { ...HOW, hostname: "saved" }));
    counter = 0;
  });
  afterAll(async () => {
    saved?.vm[Symbol.dispose]();
    await fixture?.dispose();
    expect(memoryFiles()).toEqual([]);
  });

  /** A config of its own, with its own copy of the disk. */
  async function copyConfig(): Promise<VmConfig> {
    const id = `copy-${process.pid}-${++counter}`;
    const upperDisk = `${fixture.dir}/${id}.ext4`;
    await saved.vm.copyUpperDisk(upperDisk);
    return { ...base, id, upperDisk };
  }

  async function resume(vm: SavedVm = saved.vm): Promise<Guest> {
    return Guest.resume(saving, { vm, nonce: saved.nonce }, await copyConfig(), HOW);
  }

  async function output(guest: Guest, script: string): Promise<string> {
    const session = await guest.agent.exec(["sh", "-c", script]);
    return (await session.collect()).stdout.toString().trim();
  }

  function memoryFiles(): string[] {
    return fs.readdirSync("/proc/self/fd").flatMap((fd) => {
      try {
        const target = fs.readlinkSync(`/proc/self/fd/${fd}`);
        return target.includes("msb-memory") ? [target] : [];
      } catch {
        return [];
      }
    });
  }

  it("has copies that see what was before them, and nothing of each other", async () => {
    const guests = await Promise.all([resume(), resume()]);
    const own = (index: number): string => `echo ${index} > /dev/shm/own; echo ${index} > /own`;
    await Promise.all(guests.map((guest, index) => output(guest, own(index))));
    const seen = "cat /dev/shm/made /dev/shm/own /own | tr '\\n' ' '; hostname";
    expect(await Promise.all(guests.map((guest) => output(guest, seen)))).toEqual(
      guests.map(({ vm }, index) => `1${index} ${index} ${vm.id}`),
    );
    // Nor does the saved one see anything of them.
    const third = await resume();
    expect(await output(third, "ls /dev/shm /own 2>&1 | tr '\\n' ' '")).toMatch(
      /No such file.* made$/,
    );
    await Promise.all([...guests, third].map((guest) => guest.stop()));
  });

  it("has copies that its nonce, and that of another copy, does not open", async () => {
    const [one, other] = await Promise.all([resume(), resume()]);
    one.agent.disconnect();
    for (const nonce of [saved.nonce, other.nonce]) {
      await expect(AgentClient.connect(one.vm.agentSocket, { nonce })).rejects.toMatchObject({
        code: "MSB_ERR_AGENT_FAILED",
      });
    }
    await one.agent.reconnect();
    expect(await one.agent.ping("still")).toBe("still");
    await Promise.all([one.vm.stop(), other.vm.stop()]);
  });

  it("whose QEMU is killed while it is saved is an error that leaves nothing", async () => {
    const before = memoryFiles().length;
    const config = await fixture.config();
    const vm = await saving.boot(config);
    expect(memoryFiles()).toHaveLength(before + 1);
    // It takes the command, and does not answer any more.
    process.kill(vm.vmPid!, "SIGSTOP");
    const kept = vm.save();
    process.kill(vm.vmPid!, "SIGKILL");
    await expect(kept).rejects.toMatchObject({ code: "MSB_ERR_SNAPSHOT_FAILED" });
    expect(await Promise.all([vm.pid, vm.vmPid!].map(isRunning))).toEqual([false, false]);
    expect(await vmFolders()).not.toContain(vm.id);
    expect(memoryFiles()).toHaveLength(before);
  });

  /** The same memory with another state. */
  function withState(change: (state: Buffer) => Buffer): SavedQemuVm {
    const whole = saved.vm as SavedQemuVm;
    const files = new SavedFiles(loadNative());
    const again = (fd: number): number => fs.openSync(`/proc/self/fd/${fd}`, "r+");
    files.add(again(whole.memory));
    files.add(fs.openSync("/dev/null", "r"));
    const from = whole.openState();
    const to = files.add(loadNative().createMemoryFile(0));
    const state = change(fs.readFileSync(from));
    fs.closeSync(from);
    fs.writeSync(to, state, 0, state.length, 0);
    return new SavedQemuVm(base, files);
  }

  it.each<[string, (state: Buffer) => Buffer]>([
    ["is cut", (state) => state.subarray(0, state.length / 2)],
    ["is empty", () => Buffer.alloc(0)],
    ["is spoilt in its middle", (state) => state.fill(0xff, 1_000, 9_000)],
    ["is another program's", (state) => Buffer.from("x".repeat(state.length))],
  ])("whose state %s does not go on, says why, and leaves nothing", async (_name, change) => {
    const before = memoryFiles().length;
    const children = await childrenOf(process.pid);
    {
      using spoilt = withState(change);
      const error = await resume(spoilt).catch((cause: unknown) => cause);
      // As QEMU ends before or after it has answered.
      expect(["MSB_ERR_VM_EXITED", "MSB_ERR_SNAPSHOT_FAILED"]).toContain(
        (error as { code: string }).code,
      );
      expect((error as Error).message).toMatch(/load of migration failed|Not a migration stream/);
    }
    expect(memoryFiles()).toHaveLength(before);
    expect(await childrenOf(process.pid)).toEqual(children);
    expect(await vmFolders()).not.toContain(`copy-${process.pid}-${counter}`);
    const guest = await resume();
    expect(await output(guest, "cat /dev/shm/made")).toBe("1");
    await guest.vm.stop();
  });
});
