import { describe, expect, it } from "vitest";
import { judgeHost } from "../../../src/hypervisor/libkrun-driver.js";
import type { HostProbe } from "../../../src/native/binding.js";

const able: HostProbe = {
  platform: "linux",
  arch: "x64",
  libkrun: {
    path: "/lib/libkrun.so.1",
    ok: true,
    netFeature: true,
    blkFeature: true,
    maxVcpus: 255,
  },
  kvm: { devicePresent: true, openErrno: null, apiVersion: 12, createVmErrno: null },
  cpuFlags: { vmx: false, svm: true, hypervisor: false },
  cpuCount: 2,
  memoryMiB: 4096,
  hvf: null,
};

describe("judgeHost", () => {
  it("accepts a host with everything", () => {
    expect(judgeHost(able).usable).toBe(true);
    expect(judgeHost({ ...able, platform: "darwin", arch: "arm64", hvf: true }).usable).toBe(true);
  });

  it.each<[string, Partial<HostProbe>, string]>([
    ["no device", { kvm: { ...able.kvm, devicePresent: false } }, "no /dev/kvm"],
    ["no permission", { kvm: { ...able.kvm, openErrno: 13 } }, "group kvm"],
    ["no VM", { kvm: { ...able.kvm, createVmErrno: 16 } }, "cannot create a VM"],
    [
      "a paravirtual KVM",
      { cpuFlags: { vmx: false, svm: false, hypervisor: true } },
      "paravirtual",
    ],
    ["no Hypervisor.framework", { platform: "darwin", hvf: false }, "kern.hv_support"],
    [
      "a library that does not load",
      {
        libkrun: {
          path: "/x",
          ok: false,
          error: "libcap-ng.so.0: not found",
          netFeature: false,
          blkFeature: false,
          maxVcpus: 0,
        },
      },
      "libcap-ng",
    ],
    [
      "a library without disks",
      { libkrun: { path: "/x", ok: true, netFeature: false, blkFeature: false, maxVcpus: 1 } },
      "BLK=1",
    ],
  ])("refuses a host with %s and says what to do", (_name, change, words) => {
    const verdict = judgeHost({ ...able, ...change });
    expect(verdict).toMatchObject({ usable: false, reason: expect.stringContaining(words) });
  });
});
