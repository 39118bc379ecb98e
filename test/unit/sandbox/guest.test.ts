import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Guest } from "../../../src/sandbox/guest.js";
import { FakeAgent } from "../../helpers/fake-agent.js";
import { fakeConfig, FakeDriver } from "../../helpers/fake-driver.js";

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
    expect(setup?.fields).toMatchObject({ image: "/dev/vdb", upper: null, hostname: "box" });
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

  it("fails its agent's calls when the VM ends", async () => {
    const guest = await Guest.boot(driver, fakeConfig);
    agent.on("core.ping", () => undefined);
    const pending = guest.agent.ping();
    driver.booted[0]?.end({ reason: "killed", signal: 9 });
    await expect(pending).rejects.toMatchObject({ code: "MSB_ERR_VM_EXITED" });
  });
});
