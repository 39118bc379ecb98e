import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AdoptedVm, SavedVm, VmConfig } from "../../../src/hypervisor/driver.js";
import { VmmReport } from "../../../src/hypervisor/vmm-report.js";
import { Guest } from "../../../src/sandbox/guest.js";
import { HypervisorGuests } from "../../../src/sandbox/hypervisor-guests.js";
import { FakeAgent } from "../../helpers/fake-agent.js";
import { fakeConfig, FakeDriver, FakeVm } from "../../helpers/fake-driver.js";
import { tempDir } from "../../helpers/temp-dir.js";

const NONCE = "0123456789abcdef0123456789abcdef";

describe("the microVMs of a server", () => {
  let agent: FakeAgent;
  let driver: FakeDriver;
  /** What the hypervisor finds, by id. */
  let found: Map<string, AdoptedVm>;
  let guests: HypervisorGuests;
  beforeEach(async () => {
    agent = await FakeAgent.start();
    agent.on("core.setup", () => ({ timings: [] }));
    driver = new FakeDriver("qemu");
    driver.agentSocket = agent.socketPath;
    found = new Map();
    guests = new HypervisorGuests({
      hypervisor: {
        driver,
        initramfs: "/boot",
        adopt: async (id) => found.get(id) ?? { ended: null },
        running: async () => [...found.keys()],
      },
      leaseMs: 7_000,
    });
  });
  afterEach(() => agent.stop());

  function running(id: string): FakeVm {
    const vm = new FakeVm(id, "libkrun", agent.socketPath);
    found.set(id, vm);
    return vm;
  }

  it("are booted detached, with a lease and the initramfs", async () => {
    const { initramfs: _initramfs, ...config } = fakeConfig;
    await using guest = await guests.boot(config, { hostname: "box", timeoutMs: 5_000 });
    expect(driver.configs).toEqual([
      { ...fakeConfig, initramfs: "/boot", lifetime: "detached", leaseMs: 7_000 },
    ]);
    const setup = agent.requests.find(({ type }) => type === "core.setup");
    expect(setup?.fields).toMatchObject({ hostname: "box" });
    expect(guest.vm.id).toBe("fake");
  });

  it("are taken over with the nonce of their boot, and not set up again", async () => {
    const vm = running("one");
    agent.hello = { ...agent.hello, state: "ready" };
    const guest = await guests.adopt("one", { nonce: NONCE });
    if (!(guest instanceof Guest)) throw new Error("it did not run");
    expect(guest.vm).toBe(vm);
    expect(agent.requests).toMatchObject([{ type: "hello", fields: { nonce: NONCE } }]);
    // Whoever was connected before may have left half a frame.
    expect(agent.paddingBytes).toBe(65_600);
    expect(await guests.running()).toEqual(["one"]);
    await guest.vm.stop();
  });

  it("that have ended are told with their end", async () => {
    const ended = new VmmReport().describeExit();
    found.set("gone", { ended });
    expect(await guests.adopt("gone", { nonce: NONCE })).toEqual({ ended });
    expect(await guests.adopt("unknown", { nonce: NONCE })).toEqual({ ended: null });
  });

  it("that end while they are taken over are told with their end, too", async () => {
    const vm = running("dying");
    agent.on("hello", () => {
      vm.end({ reason: "lease", signal: 9 });
      agent.dropConnection();
      return undefined;
    });
    expect(await guests.adopt("dying", { nonce: NONCE })).toMatchObject({
      ended: { reason: "lease", signal: 9 },
    });
  });

  it.each([
    ["was never made ready", "new", "MSB_ERR_AGENT_UNREACHABLE"],
    ["answers nonsense", "asleep", "MSB_ERR_PROTOCOL"],
  ])("whose agent %s are not taken over, and left for destroy", async (_name, state, code) => {
    const vm = running("odd");
    agent.hello = { ...agent.hello, state };
    await expect(guests.adopt("odd", { nonce: NONCE })).rejects.toMatchObject({ code });
    expect(vm.isReleased).toBe(true);
    expect(vm.stops).toBe(0);
    await guests.destroy("odd");
    expect(vm.stops).toBe(1);
  });

  it("are not waited for when the caller gives up", async () => {
    const vm = running("slow");
    agent.on("hello", () => undefined);
    const signal = AbortSignal.timeout(30);
    await expect(guests.adopt("slow", { nonce: NONCE, signal })).rejects.toMatchObject({
      code: "MSB_ERR_ABORTED",
    });
    expect(vm.isReleased).toBe(true);
  });

  it("that are not there are destroyed already", async () => {
    await expect(guests.destroy("nothing")).resolves.toBeUndefined();
  });

  it("that tell which hypervisor it is end with this process", async () => {
    const configs: VmConfig[] = [];
    driver.undecided = async () => ({ decide: async (config) => void configs.push(config) });
    const { initramfs: _initramfs, ...config } = fakeConfig;
    const { signal } = new AbortController();
    await (await guests.undecided())!.decide(config, { signal });
    expect(configs).toEqual([{ ...fakeConfig, initramfs: "/boot", lifetime: "owner", leaseMs: 0 }]);
  });

  it("are kept where the driver can: booted to end with this process, resumed as all others", async () => {
    expect([await guests.saving(), await guests.undecided()]).toEqual([null, null]);
    const configs: VmConfig[] = [];
    const vmOf = (config: VmConfig): FakeVm => {
      configs.push(config);
      return new FakeVm(config.id, "qemu", agent.socketPath);
    };
    const kept = { memoryBytes: 1 } as SavedVm;
    driver.saving = async () => ({
      fingerprint: async () => "qemu",
      boot: async (config) => Object.assign(vmOf(config), { save: async () => kept }),
      resume: async (_saved, config) => vmOf(config),
    });
    const saving = (await guests.saving())!;
    // Another archive is another agent, another disk another image.
    const disk = join(await tempDir(), "image.erofs");
    const fingerprint = async (): Promise<string> => saving.fingerprint(disk);
    const gone = await fingerprint();
    expect(gone).toBe(`qemu\n/boot\n${disk} is not there`);
    await writeFile(disk, "one");
    const first = await fingerprint();
    expect(first).toMatch(/^qemu\n\/boot\n.*\/image\.erofs \d+ 3 /);
    expect(await fingerprint()).toBe(first);
    // A prune, and a download that makes it anew.
    await writeFile(`${disk}.new`, "one");
    await rename(`${disk}.new`, disk);
    expect(await fingerprint()).not.toBe(first);
    const { initramfs: _initramfs, ...config } = fakeConfig;
    const how = { hostname: "box", timeoutMs: 5_000 };
    const made = await saving.make(config, async () => "ready", how);
    expect(made).toMatchObject({ saved: { vm: kept }, prepared: "ready" });
    agent.hello = { ...agent.hello, state: "ready" };
    const guest = await saving.resume(made.saved, { ...config, id: "copy" }, how);
    expect(configs).toEqual([
      { ...fakeConfig, initramfs: "/boot", lifetime: "owner", leaseMs: 0 },
      { ...fakeConfig, id: "copy", initramfs: "/boot", lifetime: "detached", leaseMs: 7_000 },
    ]);
    await guest.vm.stop();
  });
});
