/** Boots that cannot work: each says what is wrong and leaves nothing behind. */
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { vmmPath } from "../../../src/native/binaries.js";
import { native, shellConfig, tempFolder, TestVm } from "./vmm-fixture.js";

const libkrunConfig = (more: object = {}): Record<string, unknown> => ({
  driver: "libkrun",
  vcpuCount: 1,
  memoryMiB: 256,
  channels: [],
  disks: [],
  libkrunPath: "/lib/x86_64-linux-gnu/libc.so.6",
  kernelPath: "/dev/null",
  kernelFormat: "elf",
  initramfsPath: "/dev/null",
  kernelCommandLine: "console=hvc0",
  ...more,
});

const check = (config: unknown): Promise<void> => native.checkVmConfig(JSON.stringify(config));

describe("a config", () => {
  test.each([
    ["memoryMiB", { memoryMiB: 0 }],
    ["memoryMiB", { memoryMiB: "512" }],
    ["vcpuCount", { vcpuCount: 300 }],
    ["vcpuCount", { vcpuCount: 1.5 }],
    ["surprise", { surprise: 1 }],
    ["libkrunPath", { libkrunPath: "/x" }],
    ["driver", { driver: "xen" }],
    ["leaseMs", { leaseMs: -1 }],
    ["leaseMs", { leaseMs: 5, channels: ["console"] }],
    ["channels", { channels: ["agent", "agent"] }],
    ["channels", { channels: ["../agent"] }],
    ["disks[0].path", { disks: [{ id: "boot", path: "boot.erofs", readOnly: true }] }],
    ["disks[0].readOnly", { disks: [{ id: "boot", path: "/boot.erofs" }] }],
    ["disks[0].size", { disks: [{ id: "boot", path: "/boot.erofs", readOnly: true, size: 1 }] }],
    ["disks[0].path", { disks: [{ id: "boot", path: "/a\u0000b", readOnly: true }] }],
    ["qemuPath", { qemuPath: "qemu" }],
    ["qemuArgs", { qemuArgs: ["-m", 1] }],
    ["fileCount", { fileCount: -1 }],
    ["fileCount", { fileCount: 5 }],
  ])("with a bad %s (%j) is refused by that name", async (operation, more) => {
    const error = { code: "MSB_NATIVE", operation, errno: 22 };
    await expect(check(shellConfig("", more))).rejects.toMatchObject(error);
    const start = (): unknown => new TestVm({ channels: [], ...shellConfig("", more) });
    expect(start).toThrow(expect.objectContaining(error));
  });

  test("that is no JSON object is refused", async () => {
    await expect(native.checkVmConfig("[]")).rejects.toMatchObject({ operation: "config" });
    await expect(native.checkVmConfig("{")).rejects.toMatchObject({ operation: "config" });
  });

  test("with a library that is not there is refused with the loader's words", async () => {
    const config = libkrunConfig({ libkrunPath: "/nonexistent/libkrun.so.1" });
    await expect(check(config)).rejects.toMatchObject({
      operation: "dlopen",
      message: expect.stringContaining("/nonexistent/libkrun.so.1") as string,
    });
  });

  test("with a library that is not libkrun is refused with the missing functions", async () => {
    await expect(check(libkrunConfig())).rejects.toMatchObject({
      operation: "dlsym",
      message: expect.stringContaining("krun_create_ctx") as string,
    });
    const probe = await native.probeHost({ libkrunPath: "/lib/x86_64-linux-gnu/libc.so.6" });
    expect(probe.libkrun).toMatchObject({ ok: false, netFeature: false });
    expect(probe.libkrun?.missingFunctions).toContain("krun_start_enter");
  });
});

describe("a VM process", () => {
  test("without its disk fails at opening it", async () => {
    const vm = new TestVm(
      shellConfig("", { disks: [{ id: "boot", path: "/nonexistent.erofs", readOnly: true }] }),
    );
    expect(await vm.end()).toMatchObject({ stage: "failed", step: "open", errno: 2 });
    expect(vm.lines.at(-1)?.message).toContain("disk boot /nonexistent.erofs");
    expect(await vm.handle.exited).toEqual({ exitCode: 125, signal: null });
  });

  test("whose disk is a folder fails", async () => {
    const disks = [{ id: "boot", path: "/tmp", readOnly: true }];
    expect(await new TestVm(shellConfig("", { disks })).end()).toMatchObject({
      step: "open",
      errno: 22,
    });
  });

  test("without QEMU fails at finding it", async () => {
    const vm = new TestVm(shellConfig("", { qemuPath: "/nonexistent/qemu" }));
    expect(await vm.end()).toMatchObject({ stage: "failed", step: "access", errno: 2 });
  });

  test("whose QEMU is no program fails at executing it", async () => {
    const path = join(tempFolder(), "qemu");
    writeFileSync(path, "\0\0\0\0", { mode: 0o755 });
    const vm = new TestVm(shellConfig("", { qemuPath: path }));
    expect(await vm.end()).toMatchObject({ stage: "failed", step: "execve", errno: 8 });
  });

  test("with a wrong library fails at loading it", async () => {
    const vm = new TestVm(libkrunConfig());
    expect(await vm.end()).toMatchObject({ stage: "failed", step: "dlsym" });
  });
});

/** Without the checks of TypeScript. */
const boot = (request: object, onEvent: unknown = () => {}): unknown =>
  native.bootMicroVm(request as never, onEvent as never);

const openFds = (): number => readdirSync("/proc/self/fd").length;

describe("bootMicroVm", () => {
  const good = { vmmPath: vmmPath(), config: "{}", channels: [], detached: false };

  test.each([
    [undefined],
    [{ ...good, vmmPath: "msb-vmm" }],
    [{ ...good, config: {} }],
    [{ ...good, detached: 1 }],
    [{ ...good, channels: {} }],
    [{ ...good, channels: [{ name: "agent" }] }],
  ])("throws a TypeError for %j", (request) => {
    expect(() => boot(request as object)).toThrow(TypeError);
    expect(() => boot(request as object)).toThrow(
      expect.objectContaining({ code: "MSB_NATIVE_ARGUMENT" }),
    );
  });

  test("wants a function for its events", () => {
    expect(() => boot(good, null)).toThrow(TypeError);
  });

  test("wants the config's channels and lifetime", () => {
    const config = JSON.stringify(shellConfig(""));
    expect(() => boot({ ...good, config })).toThrow(
      expect.objectContaining({ operation: "channels" }),
    );
    const detached = JSON.stringify(shellConfig("", { channels: [], detached: true }));
    expect(() => boot({ ...good, config: detached })).toThrow(
      expect.objectContaining({ operation: "detached" }),
    );
  });

  const sockets = (folder: string, console: string): object => ({
    ...good,
    config: JSON.stringify(shellConfig("sleep 60")),
    channels: [
      { name: "agent", socketPath: join(folder, "agent.sock") },
      { name: "console", socketPath: console },
    ],
  });

  test("names a socket path that is too long and removes the socket it has made", () => {
    const folder = tempFolder();
    expect(() => boot(sockets(folder, join(folder, "x".repeat(200))))).toThrow(
      expect.objectContaining({ operation: "bind", errno: 36 }),
    );
    expect(readdirSync(folder)).toEqual([]);
  });

  test("does not take a path that is in use, and leaves what is there", () => {
    const folder = tempFolder();
    const taken = join(folder, "console.sock");
    writeFileSync(taken, "mine");
    expect(() => boot(sockets(folder, taken))).toThrow(
      expect.objectContaining({ operation: "bind" }),
    );
    expect(readdirSync(folder)).toEqual(["console.sock"]);
  });

  test("names a missing supervisor and removes its sockets", () => {
    const folder = tempFolder();
    const request = {
      ...sockets(folder, join(folder, "console.sock")),
      vmmPath: "/nonexistent/msb-vmm",
    };
    expect(() => boot(request)).toThrow(
      expect.objectContaining({ operation: "posix_spawn", errno: 2 }),
    );
    expect(readdirSync(folder)).toEqual([]);
  });

  test("leaks no descriptor over 200 failed boots", async () => {
    const folder = tempFolder();
    const request = sockets(folder, join(folder, "console.sock"));
    const bare = JSON.stringify(
      shellConfig("", { channels: [], disks: [{ id: "d", path: "/nonexistent", readOnly: true }] }),
    );
    const round = async (): Promise<void> => {
      expect(() => boot({ ...request, vmmPath: "/nonexistent" })).toThrow("/nonexistent");
      await native.bootMicroVm({ ...good, config: bare }, () => {}).exited;
    };
    await round();
    const before = openFds();
    for (let i = 0; i < 100; i++) await round();
    expect(openFds()).toBe(before);
    expect(existsSync(join(folder, "agent.sock"))).toBe(false);
  });
});
