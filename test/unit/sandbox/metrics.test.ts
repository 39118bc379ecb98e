import { describe, expect, it } from "vitest";
import type { GuestMetrics } from "../../../src/agent/messages.js";
import { parseUsage, readProcessUsage } from "../../../src/sandbox/host-metrics.js";
import { MetricsSampler } from "../../../src/sandbox/metrics-sampler.js";
import { ManualClock } from "../../helpers/manual-clock.js";

const guest = (uptimeMs: number, busyUsec: number): GuestMetrics => ({
  uptimeMs,
  cpu: { count: 2, busyUsec, idleUsec: 0 },
  memory: { totalBytes: 2 ** 30, availableBytes: 0, usedBytes: 100 * 2 ** 20 },
  disk: { totalBytes: 2 ** 32, usedBytes: 4_096, availableBytes: 0 },
  processes: 3,
  load1: 1,
});

describe("metrics", () => {
  it("are percentages of the time since the look before", async () => {
    const clock = new ManualClock();
    const host = { cpuMs: 1_000, ageMs: 2_000, residentBytes: 50 * 2 ** 20 };
    // What it says of its age is not what the host goes by.
    let guestNow = guest(1, 0);
    let looks = 0;
    const sampler = new MetricsSampler({
      clock,
      readHost: async () => (looks++, { ...host }),
      readGuest: async () => guestNow,
    });
    expect(await sampler.sample()).toMatchObject({ cpuPercent: 50, memoryMiB: 50 });
    host.cpuMs += 900;
    host.ageMs += 600;
    guestNow = guest(1_001, 1_800_000);
    clock.advance(199);
    expect(await sampler.sample()).toMatchObject({ cpuPercent: 50 });
    clock.advance(401);
    const [one, two] = await Promise.all([sampler.sample(), sampler.sample()]);
    expect(one).toMatchObject({ cpuPercent: 150, guest: { cpuPercent: 180 }, diskBytes: 4_096 });
    expect(two).toBe(one);
    expect(looks).toBe(2);
    // A guest that counts backwards, or beyond its CPUs, is not believed.
    for (const [busyUsec, percent] of [
      [0, 0],
      [9e9, 200],
    ] as const) {
      clock.advance(1_000);
      host.ageMs += 1_000;
      guestNow = guest(guestNow.uptimeMs + 1_000, busyUsec);
      expect(await sampler.sample()).toMatchObject({
        cpuPercent: 0,
        guest: { cpuPercent: percent },
      });
    }
  });

  it("are looked at again when the host's clock was set back", async () => {
    let nowMs = 1_000_000;
    let looks = 0;
    const sampler = new MetricsSampler({
      clock: { now: () => nowMs, after: () => () => {} },
      readHost: async () => ({ cpuMs: 10 * ++looks, ageMs: 100 * looks, residentBytes: 0 }),
      readGuest: async () => guest(1_000, 0),
    });
    await sampler.sample();
    nowMs -= 500_000;
    expect(await sampler.sample()).toMatchObject({ cpuPercent: 10 });
    expect(looks).toBe(2);
  });

  it("are the guest's where the host has none, and the host's where the guest is silent", async () => {
    const clock = new ManualClock();
    const readGuest = async (): Promise<GuestMetrics> => guest(1_000, 250_000);
    const noHost = new MetricsSampler({ clock, readHost: async () => null, readGuest });
    expect(await noHost.sample()).toMatchObject({ cpuPercent: 25, memoryMiB: 100 });
    const noGuest = new MetricsSampler({
      clock,
      readHost: async () => ({ cpuMs: 10, ageMs: 100, residentBytes: 2 ** 20 }),
      readGuest: () => Promise.reject(new Error("silent")),
    });
    expect(await noGuest.sample()).toEqual({
      cpuPercent: 10,
      memoryMiB: 1,
      diskBytes: null,
      guest: null,
    });
  });

  it("of a process are read past whatever it calls itself", () => {
    const zeros = (length: number): string[] => Array.from({ length }, () => "0");
    const fields = ["S", ...zeros(10), "150", "50", ...zeros(6), "400", "0"];
    const stat = `12 (a ) b (c) ${fields.join(" ")}`;
    expect(parseUsage(stat, "Name:\tx\nVmRSS:\t  2048 kB\n", "10.50 3.1\n")).toEqual({
      cpuMs: 2_000,
      ageMs: 6_500,
      residentBytes: 2 ** 21,
    });
    expect(parseUsage("garbage", "", "")).toBeNull();
  });

  it("of this process are plausible where there is a /proc", async () => {
    const usage = await readProcessUsage(process.pid);
    expect(usage === null).toBe(process.platform !== "linux");
    expect(usage?.residentBytes ?? Infinity).toBeGreaterThan(2 ** 24);
    expect(usage?.cpuMs ?? Infinity).toBeGreaterThan(0);
    expect(Math.abs((usage?.ageMs ?? 0) - process.uptime() * 1000)).toBeLessThan(5_000);
    expect(await readProcessUsage(2 ** 30)).toBeNull();
  });
});
