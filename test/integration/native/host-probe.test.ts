/** What the addon knows of this host, against what Node and /proc know. */
import { arch, cpus, platform, totalmem } from "node:os";
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { native } from "./vmm-fixture.js";

describe("probeHost", () => {
  test("agrees with Node about the machine", async () => {
    const probe = await native.probeHost();
    expect(probe).toMatchObject({ platform: platform(), arch: arch(), cpuCount: cpus().length });
    expect(Math.abs(probe.memoryMiB - totalmem() / 1024 ** 2)).toBeLessThan(2);
    expect(probe.libkrun).toBeNull();
    expect(probe.hvf === null).toBe(platform() !== "darwin");
  });

  test("sees /dev/kvm and the CPU's flags", async () => {
    const { kvm, cpuFlags } = await native.probeHost({ libkrunPath: null });
    expect(kvm.devicePresent).toBe(existsSync("/dev/kvm"));
    const flags =
      /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "latin1"))?.[1]?.split(" ") ?? [];
    for (const flag of ["vmx", "svm", "hypervisor"] as const) {
      expect(cpuFlags[flag]).toBe(flags.includes(flag));
    }
  });

  test("says why a library cannot be loaded", async () => {
    const { libkrun } = await native.probeHost({ libkrunPath: "/nonexistent.so" });
    expect(libkrun).toMatchObject({ path: "/nonexistent.so", ok: false, maxVcpus: null });
    expect(libkrun?.error).toContain("No such file");
  });

  test("refuses a path that is no string", () => {
    expect(() => native.probeHost({ libkrunPath: 1 as never })).toThrow(TypeError);
  });
});

test.skipIf(arch() !== "x64")("tscKhz gives a plausible rate and always the same", () => {
  const khz = native.tscKhz();
  expect(khz).toBeGreaterThan(500_000);
  expect(khz).toBeLessThan(10_000_000);
  expect(native.tscKhz()).toBe(khz);
});
