import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { BootReport } from "../../../../../src/cli/commands/doctor/boots.js";
import { check, ok, problem, warning } from "../../../../../src/cli/commands/doctor/check.js";
import { judgeSocketPath } from "../../../../../src/cli/commands/doctor/home.js";
import { isAble } from "../../../../../src/cli/commands/doctor/index.js";
import { judgeNode, judgePlatform } from "../../../../../src/cli/commands/doctor/software.js";
import { MsbError } from "../../../../../src/errors.js";
import { msbPaths } from "../../../../../src/paths.js";
import { cli } from "../../../../helpers/cli.js";
import { tempDir } from "../../../../helpers/temp-dir.js";

const NAME = { id: "x", title: "X" };
const boot = (driver: string, outcome: BootReport["outcome"]): BootReport => ({
  driver,
  outcome,
  reason: null,
  stages: [],
  confinement: [],
});

describe("doctor", () => {
  it("judges versions, platforms and lengths", () => {
    expect(["20.18.9", "20.19.0", "18.30.0", "22.0.0"].map((v) => judgeNode(v).status)).toEqual([
      "problem",
      "ok",
      "problem",
      "ok",
    ]);
    expect(judgePlatform("linux-x64")).toEqual(ok("linux-x64"));
    expect(judgePlatform("sunos-sparc").status).toBe("warning");
    expect(judgePlatform("linux-arm64").message).toContain("QEMU only");
    expect(judgeSocketPath("/short").status).toBe("ok");
    expect(judgeSocketPath(`/${"x".repeat(200)}`)).toMatchObject({
      status: "problem",
      advice: expect.stringContaining("MSB_HOME"),
    });
  });

  it("can run microVMs unless something is a problem; what was tried counts more", () => {
    const checks = [{ ...NAME, ...warning("no") }];
    expect(isAble(checks, null)).toBe(true);
    expect(isAble([...checks, { ...NAME, ...problem("no") }], null)).toBe(false);
    const boots = [boot("libkrun", "failed"), boot("qemu", "booted")];
    expect(isAble(checks, { boots, chosen: "qemu" })).toBe(true);
    expect(isAble(checks, { boots, chosen: "libkrun" })).toBe(false);
    expect(isAble(checks, { boots, chosen: null })).toBe(false);
  });

  it("tells of a look that fails, and ends when it is stopped", async () => {
    const stop = new AbortController();
    const scope = { env: {}, paths: msbPaths(await tempDir()), signal: stop.signal };
    const fail = () => {
      throw new Error("why");
    };
    expect(await check(scope, NAME, fail)).toEqual({ ...NAME, ...problem("why") });
    expect(await check(scope, NAME, fail, warning)).toEqual({ ...NAME, ...warning("why") });
    const hanging = check(scope, NAME, () => new Promise<never>(() => {}));
    stop.abort(new MsbError("MSB_ERR_ABORTED", "stopped"));
    await expect(hanging).rejects.toThrow("stopped");
  });

  it("looks at an empty home without making it, and is one document with --json", async () => {
    const home = join(await tempDir(), "home");
    const { stdout } = await cli(["doctor", "--json"], { env: { MSB_HOME: home } });
    const report = JSON.parse(stdout) as { canRun: boolean; checks: { id: string }[] };
    expect(report.checks.map(({ id }) => id)).toEqual(
      "node platform addon msb-vmm msb-agent qemu mkfs.ext4 kvm libkrun kernel driver home space sockets confinement server".split(
        " ",
      ),
    );
    expect(existsSync(home)).toBe(false);
  });

  it("ends with 69 where microVMs cannot run", async () => {
    const home = join(await tempDir(), "x".repeat(120));
    const { exitCode, stdout } = await cli(["doctor"], { env: { MSB_HOME: home } });
    expect(stdout).toMatch(/^PROBLEM +Socket paths .*shorter path/m);
    expect(stdout).toMatch(/\nMicroVMs cannot run here\.\n$/);
    expect(exitCode).toBe(69);
  });
});
