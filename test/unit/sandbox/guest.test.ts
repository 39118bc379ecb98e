import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SavedVm, VmSaving } from "../../../src/hypervisor/driver.js";
import { Guest } from "../../../src/sandbox/guest.js";
import { FakeAgent } from "../../helpers/fake-agent.js";
import { fakeConfig, FakeDriver, FakeVm } from "../../helpers/fake-driver.js";

describe("Guest", () => {
  let agent: FakeAgent;
  let driver: FakeDriver;
  beforeEach(async () => {
    agent = await FakeAgent.start();
    agent.on("core.setup", () => ({ timings: [{ step: "root", ms: 3 }] }));
    driver = new FakeDriver("qemu");
    driver.agentSocket = agent.socketPath;
  });
  afterEach(() => agent.stop());

  it("is ready when its agent has set up disks, name, clock and entropy", async () => {
    await using guest = await Guest.boot(driver, fakeConfig, { hostname: "box" });
    const setup = agent.requests.find((request) => request.type === "core.setup");
    expect(setup?.fields).toMatchObject({ image: "/dev/vda", upper: null, hostname: "box" });
    expect(guest.timings.guest).toEqual([{ step: "root", ms: 3 }]);
    expect(guest.timings.readyMs).toBeGreaterThanOrEqual(guest.timings.startedMs);
  });

  it("asks its agent to stop, then ends the VM; a second stop is the first", async () => {
    const guest = await Guest.boot(driver, fakeConfig);
    agent.on("core.shutdown", () => {
      setImmediate(() => driver.booted[0]?.end());
      return {};
    });
    const [first, second] = await Promise.all([guest.stop({ graceMs: 7 }), guest.stop()]);
    expect(first).toBe(second);
    expect(first.reason).toBe("guest");
    expect(agent.requests.filter((request) => request.type === "core.shutdown")).toMatchObject([
      { fields: { graceMs: 7 } },
    ]);
  });

  it("that does not answer in time is ended, and the error names the option", async () => {
    agent.on("core.setup", () => undefined);
    await expect(Guest.boot(driver, fakeConfig, { timeoutMs: 60 })).rejects.toMatchObject({
      code: "MSB_ERR_BOOT_TIMEOUT",
      message: expect.stringContaining("Raise timeoutMs"),
    });
    expect(driver.booted[0]?.stops).toBe(1);
  });

  it("that dies while it boots says so with its console", async () => {
    agent.on("core.setup", () => {
      driver.booted[0]?.end({ consoleTail: "Kernel panic - not syncing", exitCode: 0 });
      agent.dropConnection();
      return undefined;
    });
    await expect(Guest.boot(driver, fakeConfig)).rejects.toMatchObject({
      code: "MSB_ERR_VM_EXITED",
      message: expect.stringContaining("Kernel panic"),
    });
  });

  it("whose emulated kernel crashes at its start gets one more try", async () => {
    const consoleTail = "Kernel panic - not syncing: Fatal exception in interrupt";
    const crash = (vm: FakeVm): void => vm.end({ consoleTail, exitCode: 0 });
    driver.onBoot = (vm) => {
      if (driver.booted.length === 1) crash(vm);
    };
    await using guest = await Guest.boot(driver, fakeConfig);
    expect(driver.booted).toHaveLength(2);
    expect(guest.vm).toBe(driver.booted[1]);

    driver.onBoot = crash;
    await expect(Guest.boot(driver, fakeConfig)).rejects.toMatchObject({
      code: "MSB_ERR_VM_EXITED",
    });
    expect(driver.booted).toHaveLength(4);

    // Hardware does not do that.
    const libkrun = new FakeDriver("libkrun");
    libkrun.agentSocket = agent.socketPath;
    libkrun.onBoot = crash;
    await expect(Guest.boot(libkrun, fakeConfig)).rejects.toThrow(/Kernel panic/);
    expect(libkrun.booted).toHaveLength(1);
  });

  it("fails its agent's calls when the VM ends", async () => {
    const guest = await Guest.boot(driver, fakeConfig);
    agent.on("core.ping", () => undefined);
    const pending = guest.agent.ping();
    driver.booted[0]?.end({ reason: "killed", signal: 9 });
    await expect(pending).rejects.toMatchObject({ code: "MSB_ERR_VM_EXITED" });
  });

  it("connects its agent again, and its programs go on where they were", async () => {
    agent.on("exec.start", () => ({ pid: 7 }));
    const guest = await Guest.boot(driver, fakeConfig);
    const exec = await guest.agent.exec(["cat"]);
    agent.hello = {
      ...agent.hello,
      state: "ready",
      execs: [{ stream: 1, pid: 7, running: true, outputOffset: 0, outputEnd: 5, stdinOffset: 0 }],
    };
    agent.on("exec.attach", (request) => {
      setImmediate(() => {
        agent.output(request.stream, "whole", { end: true });
        agent.send(request.stream, { type: "exec.exited", exitCode: 0, oomKilled: false });
      });
      return { outputOffset: 0, stdinOffset: 0 };
    });
    agent.dropConnection();
    expect((await exec.collect()).stdout.toString()).toBe("whole");
    expect(driver.booted[0]?.stops).toBe(0);
    await guest.vm.stop();
  });

  it("is ended when it breaks the protocol, and its agent's calls say so", async () => {
    const guest = await Guest.boot(driver, fakeConfig);
    agent.on("core.ping", () => {
      agent.raw(Buffer.from("these are no frames"));
      return undefined;
    });
    await expect(guest.agent.ping()).rejects.toMatchObject({ code: "MSB_ERR_PROTOCOL" });
    expect(await guest.vm.exited).toMatchObject({ reason: "stopped" });
    await expect(guest.agent.ping()).rejects.toMatchObject({ code: "MSB_ERR_PROTOCOL" });
  });

  it("that was made ready is adopted as it is; one that was not is left alone", async () => {
    const vm = new FakeVm("fake", "qemu", agent.socketPath);
    const nonce = "0".repeat(32);
    await expect(Guest.adopt(vm, { nonce })).rejects.toMatchObject({
      code: "MSB_ERR_AGENT_UNREACHABLE",
      message: expect.stringContaining("never made ready"),
    });
    agent.hello = { ...agent.hello, state: "ready", nextStream: 9 };
    const guest = await Guest.adopt(vm, { nonce });
    expect(guest.nonce).toBe(nonce);
    expect(guest.timings).toMatchObject({ startedMs: 0, guest: [] });
    expect(agent.requests.map(({ type }) => type)).toEqual(["hello", "hello"]);
    expect(vm.stops).toBe(0);
    await guest.vm.stop();
  });

  describe("that goes on from a saved one", () => {
    const saved = { vm: {} as SavedVm, nonce: "ab".repeat(16) };
    let vm: FakeVm;
    beforeEach(() => {
      vm = new FakeVm("copy", "qemu", agent.socketPath);
      agent.hello = { ...agent.hello, state: "ready", nextStream: 9 };
    });
    const saving: Pick<VmSaving, "resume"> = { resume: async () => vm };
    const config = { ...fakeConfig, id: "copy" };
    const resume = (): Promise<Guest> => Guest.resume(saving, saved, config, { hostname: "box" });

    it("is let in with the old nonce, and has all that is its own then", async () => {
      const before = Date.now();
      const guest = await resume();
      expect(agent.requests.map(({ type }) => type)).toEqual(["hello", "core.resume"]);
      expect(agent.requests[0]?.fields["nonce"]).toBe(saved.nonce);
      // It was saved when nothing was under way to it.
      expect(agent.paddingBytes).toBe(0);
      const own = agent.requests[1]?.fields;
      expect(own).toMatchObject({ nonce: guest.nonce, hostname: "box" });
      expect(guest.nonce).not.toBe(saved.nonce);
      expect(own?.["clockMs"]).toBeGreaterThanOrEqual(before);
      expect(Buffer.from(String(own?.["entropy"]), "base64")).toHaveLength(256);
      expect(guest.timings.guest).toEqual([]);
      await guest.vm.stop();
    });

    it("shares nonce and entropy with no other", async () => {
      await (await resume()).vm.stop();
      vm = new FakeVm("copy", "qemu", agent.socketPath);
      await (await resume()).vm.stop();
      const own = agent.requests.filter(({ type }) => type === "core.resume");
      for (const name of ["nonce", "entropy"]) {
        expect(new Set(own.map(({ fields }) => fields[name])).size).toBe(2);
      }
    });

    it("connects again with its own nonce", async () => {
      const guest = await resume();
      agent.dropConnection();
      await expect.poll(() => agent.requests.at(-1)?.type).toBe("hello");
      expect(agent.requests.at(-1)?.fields["nonce"]).toBe(guest.nonce);
      await guest.vm.stop();
    });

    it("whose agent refuses, or does not answer, is ended", async () => {
      agent.on("core.resume", ({ id }, fake) => {
        fake.send(0, { id, type: "error", code: "system", message: "ioctl", operation: "ioctl" });
        return undefined;
      });
      await expect(resume()).rejects.toMatchObject({ code: "MSB_ERR_AGENT_FAILED" });
      expect(vm.stops).toBe(1);

      vm = new FakeVm("copy", "qemu", agent.socketPath);
      agent.on("core.resume", () => undefined);
      await expect(Guest.resume(saving, saved, config, { timeoutMs: 60 })).rejects.toMatchObject({
        code: "MSB_ERR_BOOT_TIMEOUT",
      });
      expect(vm.stops).toBe(1);
    });

    it("that runs ahead is told where a frame begins only if its connection may have broken off", async () => {
      const ready = await resume();
      const claimed = await Guest.claim(ready);
      expect(agent.requests.at(-1)).toMatchObject({ type: "core.resume" });
      expect(agent.paddingBytes).toBe(0);
      claimed.agent.disconnect();
      const again = await Guest.claim(claimed);
      expect(agent.paddingBytes).toBe(65_600);
      expect(new Set([ready.nonce, claimed.nonce, again.nonce]).size).toBe(3);
      await again.vm.stop();
    });

    it("that ends before it is its own says how", async () => {
      agent.on("hello", (_request, fake) => {
        vm.end({ stderrTail: "load of migration failed", exitCode: 1 });
        fake.dropConnection();
        return undefined;
      });
      await expect(resume()).rejects.toMatchObject({
        code: "MSB_ERR_VM_EXITED",
        message: expect.stringContaining("load of migration failed"),
      });
    });
  });
});
