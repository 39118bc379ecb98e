import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { VmmReport } from "../../../src/hypervisor/vmm-report.js";
import { tempDir } from "../../helpers/temp-dir.js";

const line = (stage: string, facts: object = {}): string =>
  JSON.stringify({ stage, atMs: 1, ...facts });

function reportOf(...lines: string[]): VmmReport {
  const report = new VmmReport();
  for (const text of lines) report.take(text);
  return report;
}

describe("a supervisor's report", () => {
  it("says which process is the VM, what confines it and how far it came", () => {
    const report = reportOf(
      line("forked", { pid: 42 }),
      line("entering", { confinement: ["landlock"] }),
    );
    expect(report.vmPid).toBe(42);
    expect(report.confinement).toEqual(["landlock"]);
    expect(report.stages).toEqual([
      { stage: "forked", atMs: 1 },
      { stage: "entering", atMs: 1 },
    ]);
    expect(new VmmReport().vmPid).toBeNull();
  });

  it.each([
    ["guest", { exitCode: 0, reason: "guest" }, { exitCode: 0, signal: null, reason: "guest" }],
    ["its lease", { signal: 9, reason: "lease" }, { exitCode: null, signal: 9, reason: "lease" }],
    ["a kill", { signal: 9, reason: "killed" }, { exitCode: null, signal: 9, reason: "killed" }],
    ["SIGTERM to the supervisor", { signal: 9, reason: "terminated" }, { reason: "killed" }],
  ])("tells an end by %s", (_name, facts, expected) => {
    const report = reportOf(line("exited", { ...facts, consoleTail: "last \u001b[31mwords\n" }));
    const exit = report.describeExit();
    expect(exit).toMatchObject(expected);
    expect(exit.consoleTail).toContain("words");
    expect(exit.consoleTail).not.toContain("\u001b");
    expect(report.describeExit({ isStopping: true, consoleTail: "seen" })).toMatchObject({
      reason: "stopped",
      consoleTail: "seen",
    });
  });

  it("tells a failed start with its step and what the process said", () => {
    const failed = { step: "krun_add_disk", errno: 2, message: "no disk", stderrTail: "oops" };
    expect(reportOf(line("failed", failed)).describeExit()).toMatchObject({
      reason: "failed",
      stderrTail: "oops",
      failure: { step: "krun_add_disk", errno: 2, message: "no disk" },
    });
  });

  it.each([
    ["stage", 1],
    ["atMs", "soon"],
    ["pid", "1"],
    ["message", {}],
    ["consoleTail", 7],
    ["detached", "yes"],
    ["confinement", "all"],
    ["confinement", [1]],
  ])("has no line whose %s is %j", (field, value) => {
    const report = new VmmReport();
    expect(report.take(line("exited", { [field]: value }))).toBeUndefined();
    expect(report.take(line("exited", { consoleTail: "words" }))).toBeDefined();
    expect(report.describeExit().consoleTail).toBe("words");
  });

  it("that breaks off is that of a killed supervisor", () => {
    expect(reportOf(line("entering")).describeExit()).toMatchObject({
      reason: "killed",
      exitCode: null,
      signal: null,
    });
    const status = { exitCode: null, signal: 9 };
    expect(reportOf(line("entering")).describeExit({ status })).toMatchObject({ signal: 9 });
  });

  it("is read from a file as far as it is whole, and never more than 64 lines of it", async () => {
    const path = join(await tempDir(), "report.jsonl");
    expect(await VmmReport.read(path)).toBeUndefined();
    await writeFile(
      path,
      `${line("sanitized")}\nnonsense\nnull\n[]\n${line("forked", { pid: 4 })}`,
    );
    const broken = await VmmReport.read(path);
    expect(broken?.stages.map(({ stage }) => stage)).toEqual(["sanitized"]);
    expect(broken?.vmPid).toBeNull();
    await writeFile(path, `${line("alive")}\n`.repeat(10_000));
    expect((await VmmReport.read(path))?.stages).toHaveLength(64);
  });
});
