import * as fs from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import type { SavableVm, SavedVm, VmConfig } from "../../../src/hypervisor/driver.js";
import type { QemuPurpose } from "../../../src/hypervisor/qemu-args.js";
import {
  QemuSaving,
  type StartQemu,
  type StartQemuOpts,
} from "../../../src/hypervisor/qemu-saving.js";
import type { VmProcess } from "../../../src/hypervisor/vm-process.js";
import { loadNative } from "../../../src/native/binding.js";
import { fakeConfig, FakeVm } from "../../helpers/fake-driver.js";
import { FakeQemu } from "../../helpers/fake-qemu.js";
import { tempDir } from "../../helpers/temp-dir.js";

const STATE = Buffer.from("the state of the devices");
const UPPER_BYTES = 8192;

interface Started {
  readonly config: VmConfig;
  readonly purpose: QemuPurpose;
  readonly files: readonly number[];
  /** The content of the files, as far as it is short. */
  readonly contents: readonly string[];
  readonly vm: FakeVm;
}

describe("saved VMs of QEMU", () => {
  let qemu: FakeQemu;
  let config: VmConfig;
  let saving: QemuSaving;
  let started: Started[];
  let openBefore: number;
  let checked: VmConfig[];
  beforeEach(async () => {
    qemu = await FakeQemu.start();
    qemu.saves(STATE);
    const upperDisk = join(await tempDir(), "upper.ext4");
    fs.writeFileSync(upperDisk, "u".repeat(UPPER_BYTES));
    config = { ...fakeConfig, memoryMiB: 1, upperDisk };
    started = [];
    checked = [];
    saving = savingWith(async (...args) => start(...args));
    openBefore = ourFiles().length;
  });

  const savingWith = (startQemu: StartQemu): QemuSaving =>
    new QemuSaving(loadNative(), {
      check: async (of) => void checked.push(of),
      start: startQemu,
      fingerprint: async () => "one",
    });

  function start(of: VmConfig, purpose: QemuPurpose, { files = [] }: StartQemuOpts): VmProcess {
    const contents = files.map((fd) => {
      const { size } = fs.fstatSync(fd);
      // With the position that the descriptor has.
      return size > 1_000 ? `${size} bytes` : fs.readFileSync(fd, "latin1");
    });
    const vm = new FakeVm(of.id, "qemu", "/nowhere");
    started.push({ config: of, purpose, files, contents, vm });
    return Object.assign(vm, { files: qemu.files }) as unknown as VmProcess;
  }

  /** Files without names, and private disks, that this process has open. */
  function ourFiles(): string[] {
    const targets = fs.readdirSync("/proc/self/fd").map((fd) => {
      try {
        return fs.readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return "";
      }
    });
    return targets.filter((target) => /memfd:msb-memory|upper\.ext4/.test(target));
  }

  async function saved(): Promise<SavedVm> {
    const vm = await saving.boot(config);
    return vm.save();
  }

  it("are booted with their memory in a file, and saved with the state of their devices", async () => {
    const vm = await saving.boot(config);
    expect(started).toMatchObject([{ config, purpose: "save", contents: ["1048576 bytes"] }]);
    fs.writeSync(started[0]!.files[0]!, "memory");
    using kept = await vm.save();
    expect(qemu.names).toEqual(["qmp_capabilities", "migrate-set-capabilities", "migrate"]);
    expect(started[0]?.vm.stops).toBeGreaterThan(0);
    expect(kept.config).toMatchObject({ vcpuCount: 1, memoryMiB: 1 });
    expect(kept.memoryBytes).toBe(4096);
    expect(fs.existsSync(qemu.files.stateSocket)).toBe(false);
    await expect.poll(() => qemu.connections).toBe(0);
  });

  it("cannot be changed by whoever has their files", async () => {
    using _kept = await saved();
    using _resumed = await resumed(_kept);
    const memory = started[0]!.files[0]!;
    expect(() => fs.writeSync(memory, "x")).toThrow(/EPERM/);
    expect(() => fs.ftruncateSync(memory, 1)).toThrow(/EPERM/);
  });

  async function resumed(kept: SavedVm, other: Partial<VmConfig> = {}): Promise<Disposable> {
    const vm = await saving.resume(kept, { ...config, id: "copy", ...other });
    return { [Symbol.dispose]: () => void vm.stop() };
  }

  it("go on any number of times, each with the whole state, and with no file left", async () => {
    using kept = await saved();
    const before = ourFiles().length;
    for (let round = 0; round < 3; round++) {
      using _vm = await resumed(kept, { upperDisk: "/copy", lifetime: "detached", leaseMs: 7 });
    }
    const copies = started.slice(1);
    expect(copies).toMatchObject(
      Array.from({ length: 3 }, () => ({
        purpose: "resume",
        config: { id: "copy", upperDisk: "/copy", lifetime: "detached", leaseMs: 7 },
        contents: ["1048576 bytes", STATE.toString()],
      })),
    );
    expect(qemu.commands.at(-1)).toEqual({
      execute: "migrate-incoming",
      arguments: { uri: "fd:7" },
    });
    expect(ourFiles()).toHaveLength(before);
  });

  it.each([
    ["vcpuCount", { vcpuCount: 2 }],
    ["memoryMiB", { memoryMiB: 2 }],
    ["initramfs", { initramfs: "/other" }],
    ["imageDisk", { imageDisk: "/other" }],
    ["upperDisk", { upperDisk: null }],
  ] as const)("do not go on with another %s", async (option, other) => {
    using kept = await saved();
    await expect(resumed(kept, other)).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      details: { option },
    });
    expect(started).toHaveLength(1);
  });

  it("have copies of their private disk as it is", async () => {
    using kept = await saved();
    // What has a name may go; the file is open.
    fs.rmSync(config.upperDisk!);
    const copy = join(await tempDir(), "copy");
    await kept.copyUpperDisk(copy);
    expect(fs.readFileSync(copy, "latin1")).toBe("u".repeat(UPPER_BYTES));
    await expect(kept.copyUpperDisk("/nonexistent/copy")).rejects.toThrow(/ENOENT|No such file/);
  });

  it("let go of their files when they are disposed of, and are of no use then", async () => {
    const kept = await saved();
    expect(ourFiles()).toHaveLength(openBefore + 3);
    kept[Symbol.dispose]();
    kept[Symbol.dispose]();
    expect(ourFiles()).toHaveLength(openBefore);
    const gone = { code: "MSB_ERR_INVALID_ARGUMENT", details: { option: "saved" } };
    await expect(resumed(kept)).rejects.toMatchObject(gone);
    await expect(kept.copyUpperDisk("/copy")).rejects.toMatchObject(gone);
    await expect(resumed({ ...kept } as SavedVm)).rejects.toMatchObject(gone);
    expect(started).toHaveLength(1);
  });

  it("need a private disk, and are not booted without", async () => {
    await expect(saving.boot({ ...config, upperDisk: null })).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      details: { option: "upperDisk" },
    });
    expect(started).toHaveLength(0);
    expect(ourFiles()).toHaveLength(openBefore);
  });

  it("whose private disk is gone after it was looked at are not booted, and leave no file", async () => {
    const upperDisk = `${config.upperDisk!}.gone`;
    await expect(saving.boot({ ...config, upperDisk })).rejects.toMatchObject({
      code: "MSB_ERR_DISK_NOT_FOUND",
      message: `The disk ${upperDisk} cannot be opened (ENOENT).`,
      details: { path: upperDisk },
    });
    expect([checked.length, started.length]).toEqual([1, 0]);
    expect(ourFiles()).toHaveLength(openBefore);
  });

  it("whose boot fails, or that end before they are saved, leave no file", async () => {
    const noQemu = async (): Promise<never> => {
      throw new Error("no QEMU");
    };
    const failing = savingWith(noQemu);
    await expect(failing.boot(config)).rejects.toThrow("no QEMU");
    expect(ourFiles()).toHaveLength(openBefore);

    const vm = await saving.boot(config);
    started[0]?.vm.end({ reason: "guest" });
    await expect.poll(() => ourFiles().length).toBe(openBefore);
    qemu.close();
    await expect(vm.save()).rejects.toMatchObject({ code: "MSB_ERR_SNAPSHOT_FAILED" });
  });

  it("are saved once", async () => {
    const vm: SavableVm = await saving.boot(config);
    using kept = await vm.save();
    await expect(vm.save()).rejects.toMatchObject({ code: "MSB_ERR_INVALID_ARGUMENT" });
    using _vm = await resumed(kept);
    expect(started).toHaveLength(2);
  });

  const failures: Readonly<Record<string, readonly [() => void, RegExp]>> = {
    "is refused": [
      () => qemu.on("migrate", () => new Error("not now")),
      /could not be saved: QEMU's monitor said: not now\. Its last words:\nqemu: bad$/,
    ],
    "fails, with the reason": [
      () => {
        qemu.on("migrate", () => (qemu.event("MIGRATION", { status: "failed" }), {}));
        qemu.on("query-migrate", () => ({ status: "failed", "error-desc": "no room" }));
      },
      /QEMU could not write its state: no room/,
    ],
    "fails without a reason": [
      () => qemu.on("migrate", () => (qemu.event("MIGRATION", { status: "failed" }), {})),
      /it gives no reason/,
    ],
    "loses QEMU": [
      () => qemu.on("migrate", () => void qemu.hangUp()),
      /monitor closed the connection/,
    ],
    "loses QEMU while it writes": [
      () => qemu.on("migrate", () => (setImmediate(() => qemu.hangUp()), {})),
      /monitor closed the connection/,
    ],
    "brings too much": [() => qemu.saves(Buffer.alloc(16 * 1024 ** 2 + 1)), /too large/],
  };

  it.each(Object.keys(failures))("leave nothing when the save %s", async (name) => {
    const vm = await saving.boot(config);
    const { vm: fake } = started[0]!;
    const stop = fake.stop.bind(fake);
    fake.stop = async () => ({ ...(await stop()), stderrTail: "qemu: bad" });
    const [prepare, message] = failures[name]!;
    prepare();
    await expect(vm.save()).rejects.toMatchObject({
      code: "MSB_ERR_SNAPSHOT_FAILED",
      message: expect.stringMatching(message),
      details: { id: "fake" },
    });
    expect(fake.stops).toBe(1);
    expect(ourFiles()).toHaveLength(openBefore);
    expect(fs.existsSync(qemu.files.stateSocket)).toBe(false);
    await expect.poll(() => qemu.connections).toBe(0);
  });

  it("leave nothing when the caller gives up", async () => {
    const vm = await saving.boot(config);
    const abort = new AbortController();
    qemu.on("migrate", () => void abort.abort());
    await expect(vm.save({ signal: abort.signal })).rejects.toMatchObject({
      code: "MSB_ERR_ABORTED",
    });
    expect(started[0]?.vm.stops).toBe(1);
    expect(ourFiles()).toHaveLength(openBefore);
  });

  it("whose state QEMU does not take end, and say so; the saved one is as it was", async () => {
    using kept = await saved();
    const before = ourFiles().length;
    qemu.on("migrate-incoming", () => new Error("unknown section"));
    await expect(resumed(kept)).rejects.toMatchObject({
      code: "MSB_ERR_SNAPSHOT_FAILED",
      message: expect.stringMatching(/copy could not go on from a saved one: .*unknown section/),
    });
    expect(started[1]?.vm.stops).toBe(1);
    expect(ourFiles()).toHaveLength(before);

    const abort = new AbortController();
    qemu.on("migrate-incoming", () => void abort.abort());
    const { signal } = abort;
    await expect(saving.resume(kept, { ...config, id: "copy" }, { signal })).rejects.toMatchObject({
      code: "MSB_ERR_ABORTED",
    });
    expect(started[2]?.vm.stops).toBe(1);

    qemu.on("migrate-incoming", () => ({}));
    using _vm = await resumed(kept);
    expect(started[3]?.contents[1]).toBe(STATE.toString());
  });
});
