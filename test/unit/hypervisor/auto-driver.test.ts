import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AutoDriver, type AutoDriverOpts } from "../../../src/hypervisor/auto-driver.js";
import type { VmSaving } from "../../../src/hypervisor/driver.js";
import { fakeConfig, FakeDriver } from "../../helpers/fake-driver.js";

describe("AutoDriver", () => {
  let dir: string;
  let libkrun: FakeDriver;
  let qemu: FakeDriver;
  let reasons: string[];

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "msb-auto-"));
    libkrun = new FakeDriver("libkrun");
    qemu = new FakeDriver("qemu");
    reasons = [];
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const auto = (opts: Partial<AutoDriverOpts> = {}): AutoDriver =>
    new AutoDriver({
      libkrun,
      qemu,
      verdictFile: join(dir, "verdict.json"),
      verdictKey: "key",
      signOfLifeMs: 30,
      onFallback: (reason) => reasons.push(reason),
      ...opts,
    });
  const unusable = {
    usable: false,
    code: "MSB_ERR_KVM_UNAVAILABLE",
    reason: "no KVM here.",
    facts: {},
  } as const;

  it("takes QEMU when libkrun's probe fails, and says why, once", async () => {
    libkrun.verdict = unusable;
    const driver = auto();
    expect((await driver.boot(fakeConfig)).driver).toBe("qemu");
    expect((await driver.boot(fakeConfig)).driver).toBe("qemu");
    expect(reasons).toEqual(["no KVM here."]);
    expect(await driver.choose()).toMatchObject({ driver: "qemu", reason: "no KVM here." });
  });

  it("fails with both reasons when neither can run", async () => {
    libkrun.verdict = unusable;
    qemu.verdict = {
      usable: false,
      code: "MSB_ERR_QEMU_MISSING",
      reason: "no QEMU either.",
      facts: {},
    };
    await expect(auto().boot(fakeConfig)).rejects.toMatchObject({
      code: "MSB_ERR_HYPERVISOR_UNAVAILABLE",
      message: expect.stringMatching(/no KVM here.*no QEMU either/),
    });
  });

  it("confirms libkrun by the first boot and remembers it", async () => {
    libkrun.onBoot = (vm) => vm.aliveSignal.resolve();
    expect((await auto().boot(fakeConfig)).driver).toBe("libkrun");
    libkrun.onBoot = () => {};
    expect((await auto().boot(fakeConfig)).driver).toBe("libkrun");
    expect(libkrun.booted.every((vm) => vm.stops === 0)).toBe(true);
    expect(reasons).toEqual([]);
  });

  it("ends a first VM that stays silent, takes QEMU for this boot and remembers it", async () => {
    const vm = await auto().boot(fakeConfig);
    expect(vm.driver).toBe("qemu");
    expect(libkrun.booted[0]?.stops).toBe(1);
    expect(reasons[0]).toContain("no sign of life within 30 ms");
    await auto().boot(fakeConfig);
    expect(libkrun.booted).toHaveLength(1);
  });

  it("takes QEMU at once when the first VM dies", async () => {
    libkrun.onBoot = (vm) => vm.end({ signal: 11 });
    expect((await auto({ signOfLifeMs: 60_000 }).boot(fakeConfig)).driver).toBe("qemu");
  });

  it("lets one VM find out while others wait", async () => {
    libkrun.onBoot = (vm) => void setTimeout(() => vm.aliveSignal.resolve(), 5);
    const driver = auto({ signOfLifeMs: 1_000 });
    const vms = await Promise.all([1, 2, 3].map(() => driver.boot(fakeConfig)));
    expect(vms.map((vm) => vm.driver)).toEqual(["libkrun", "libkrun", "libkrun"]);
  });

  it("keeps VMs as the driver does that is taken", async () => {
    const saving = {} as VmSaving;
    qemu.saving = async () => saving;
    const driver = auto();
    expect(await driver.saving()).toBeNull();
    // The first VM stays silent.
    await driver.boot(fakeConfig);
    expect(await driver.saving()).toBe(saving);
  });

  it("lets a VM tell which it is without keeping one, once for all who ask", async () => {
    const driver = auto();
    const undecided = (await driver.undecided())!;
    await Promise.all([undecided.decide(fakeConfig), undecided.decide(fakeConfig)]);
    expect(libkrun.booted.map((vm) => vm.stops)).toEqual([1]);
    expect(qemu.booted).toEqual([]);
    expect(await driver.undecided()).toBeNull();
    expect((await driver.boot(fakeConfig)).driver).toBe("qemu");

    libkrun.onBoot = (vm) => vm.aliveSignal.resolve();
    const other = auto({ verdictKey: "other" });
    await (await other.undecided())!.decide(fakeConfig);
    expect(libkrun.booted.map((vm) => vm.stops)).toEqual([1, 1]);
    expect((await other.boot(fakeConfig)).driver).toBe("libkrun");
  });

  it("does not take a VM for dead that its caller ended", async () => {
    const stop = new AbortController();
    libkrun.onBoot = (vm) => (stop.abort(), vm.end({ reason: "stopped" }));
    const driver = auto({ signOfLifeMs: 60_000 });
    const { signal } = stop;
    await expect((await driver.undecided())!.decide(fakeConfig, { signal })).rejects.toMatchObject({
      code: "MSB_ERR_ABORTED",
    });
    expect(await driver.undecided()).not.toBeNull();
  });

  it("looks again when host, library or kernel changed, or the file is damaged", async () => {
    await auto().boot(fakeConfig);
    libkrun.onBoot = (vm) => vm.aliveSignal.resolve();
    expect((await auto({ verdictKey: "other" }).boot(fakeConfig)).driver).toBe("libkrun");
    await writeFile(join(dir, "verdict.json"), "{ damaged");
    expect((await auto().boot(fakeConfig)).driver).toBe("libkrun");
    expect(JSON.parse(await readFile(join(dir, "verdict.json"), "utf8"))).toMatchObject({
      key: "key",
      verdict: { isUsable: true },
    });
  });
});
