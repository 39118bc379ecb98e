/** What msb-vmm and the VM process have, and what they do not. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { describe, expect, test } from "vitest";
import { vmmPath } from "../../../src/native/binaries.js";
import { shellConfig, tempFolder, TestVm, until } from "./vmm-fixture.js";

// The kernel hides a non-dumpable process from everybody but root.
const isRoot = process.getuid?.() === 0;

const fdsOf = (pid: number): Map<number, string> =>
  new Map(
    readdirSync(`/proc/${pid}/fd`).map((fd) => [Number(fd), readlinkSync(`/proc/${pid}/fd/${fd}`)]),
  );
const statusOf = (pid: number, key: string): string | undefined =>
  new RegExp(`^${key}:\\s*(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
const limitOf = (pid: number, name: string): string | undefined =>
  new RegExp(`^${name}\\s+(\\S+)\\s+(\\S+)`, "m").exec(
    readFileSync(`/proc/${pid}/limits`, "latin1"),
  )?.[2];

async function running(script: string, more: object = {}): Promise<{ vm: TestVm; pid: number }> {
  const vm = new TestVm(shellConfig(script, more));
  const { pid = 0 } = await vm.stage("forked");
  await vm.stage("alive");
  return { vm, pid };
}

const SLEEPER = "printf x >&4; exec sleep 600";

describe("both processes", () => {
  test.skipIf(!isRoot)("have an empty environment although their owner has one", async () => {
    process.env["MSB_TEST_SECRET"] = "secret";
    const { vm, pid } = await running(SLEEPER, { qemuPath: "/bin/sh" });
    expect(readFileSync(`/proc/${vm.handle.pid}/environ`, "latin1")).toBe("");
    // The shell sets PWD and the like for its children; nothing of ours is among it.
    expect(readFileSync(`/proc/${pid}/environ`, "latin1")).not.toContain("MSB_TEST_SECRET");
  });

  test("get no variable by execve", async () => {
    const vm = new TestVm(shellConfig("", { qemuPath: "/usr/bin/env", qemuArgs: [] }));
    const end = await vm.end();
    expect(end).toMatchObject({ exitCode: 0, stderrTail: "" });
  });

  test.skipIf(!isRoot)("have their own descriptors only", async () => {
    const leaked = openSync("/etc/hostname", "r");
    expect(leaked).toBeGreaterThan(2);
    const { vm, pid } = await running(SLEEPER);
    const supervisor = fdsOf(vm.handle.pid);
    expect([0, 1, 2].map((fd) => supervisor.get(fd))).toEqual(Array(3).fill("/dev/null"));
    expect([...supervisor.values()].filter((file) => file.startsWith("/"))).toHaveLength(3);
    // report, lifeline, 2 signal pipe ends, messages (ended), output; 2 listeners and 2 channels
    expect([...supervisor.values()].filter((file) => file.startsWith("pipe:"))).toHaveLength(5);
    expect([...supervisor.values()].filter((file) => file.startsWith("socket:"))).toHaveLength(4);
    const machine = fdsOf(pid);
    expect([...machine.keys()].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
    expect(machine.get(0)).toBe("/dev/null");
    expect(machine.get(1)).toMatch(/^pipe:/);
    expect(machine.get(2)).toBe(machine.get(1));
    expect(machine.get(3)).toMatch(/^socket:/);
    expect(machine.get(4)).toMatch(/^socket:/);
  });

  test.skipIf(!isRoot)("cannot gain privileges, dump core or open many files", async () => {
    const { vm, pid } = await running(SLEEPER);
    for (const process of [vm.handle.pid, pid]) {
      expect(statusOf(process, "NoNewPrivs")).toBe("1");
      expect(limitOf(process, "Max core file size")).toBe("0");
      expect(Number(limitOf(process, "Max open files"))).toBeLessThanOrEqual(1024);
    }
    // The supervisor's only file is its report.
    expect(limitOf(vm.handle.pid, "Max file size")).toBe(String(256 * 1024));
    expect(limitOf(pid, "Max file size")).toBe("0");
    expect(statusOf(pid, "Umask")).toBe("0077");
  });
});

test.skipIf(!isRoot)("no file may grow over the largest writable disk", async () => {
  const folder = tempFolder();
  const disks = [1, 3].map((mib) => {
    const path = join(folder, `${mib}.raw`);
    writeFileSync(path, "");
    truncateSync(path, mib * 1024 ** 2);
    return { id: `disk${mib}`, path, readOnly: false };
  });
  const { pid } = await running(SLEEPER, { disks });
  expect(limitOf(pid, "Max file size")).toBe(String(3 * 1024 ** 2));
});

/** What a script prints on the console; undefined on a kernel without Landlock. */
async function attempt(script: string, more: object = {}): Promise<string | undefined> {
  const vm = new TestVm(shellConfig(script, more));
  const console = await vm.connect("console");
  await vm.handle.exited;
  const entering = vm.lines.find((line) => line.stage === "entering");
  await until(() => console.isClosed);
  return entering?.confinement?.includes("landlock") === true ? console.text : undefined;
}

describe("Landlock, where the kernel has it,", () => {
  test("keeps the VM process from files that are not its own", async ({ skip }) => {
    const secret = join(tempFolder(), "secret");
    writeFileSync(secret, "secret");
    const text = await attempt(
      `f=${secret.slice(0, -1)}; cat "$f"t >&4 2>&4; echo x > /tmp/msb-escape; echo "write $?" >&4; ls / >&4 2>&4`,
    );
    if (text === undefined) return skip();
    expect(text).not.toContain("secret\n");
    expect(text.match(/Permission denied/g)?.length).toBe(2);
    expect(text).toContain("write 2");
  });

  test("lets it read a read-only disk and write a writable one, not the reverse", async ({
    skip,
  }) => {
    const folder = tempFolder();
    const [readable, writable] = [join(folder, "r.raw"), join(folder, "w.raw")];
    writeFileSync(readable, "content");
    writeFileSync(writable, "........");
    const disks = [
      { id: "r", path: readable, readOnly: true },
      { id: "w", path: writable, readOnly: false },
    ];
    const text = await attempt(
      `cat ${readable} >&4; (echo x >> ${readable}) 2>/dev/null || echo refused >&4; printf new 1<>${writable}`,
      { disks },
    );
    if (text === undefined) return skip();
    expect(text).toBe("contentrefused\n");
    expect(readFileSync(writable, "latin1")).toBe("new.....");
  });

  test("keeps it from signalling its supervisor", async ({ skip }) => {
    const vm = new TestVm(shellConfig("kill -0 $PPID && echo reached >&4 || echo refused >&4"));
    const console = await vm.connect("console");
    await vm.handle.exited;
    const entering = vm.lines.find((line) => line.stage === "entering");
    if (entering?.confinement?.includes("landlock-scope") !== true) return skip();
    await until(() => console.isClosed);
    expect(console.text).toBe("refused\n");
  });
});

test("msb-vmm without its descriptors fails and does not hang", async () => {
  const vmm = spawn(vmmPath(), [], { stdio: ["ignore", "ignore", "ignore"], env: { A: "b" } });
  expect(await once(vmm, "exit")).toEqual([125, null]);
});

test("msb-vmm refuses what is no config and names the field", async () => {
  const vmm = spawn(vmmPath(), [], {
    stdio: ["ignore", "ignore", "ignore", "pipe", "pipe", "pipe"],
  });
  let report = "";
  vmm.stdio[4]?.on("data", (chunk: Buffer) => (report += chunk.toString()));
  (vmm.stdio[3] as Writable).end('{"driver":"qemu","memoryMiB":0}');
  expect(await once(vmm, "close")).toEqual([125, null]);
  const last = JSON.parse(report.trim().split("\n").at(-1) ?? "") as object;
  expect(last).toMatchObject({ stage: "failed", errno: 22 });
});
