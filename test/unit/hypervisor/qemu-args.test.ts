import { describe, expect, it } from "vitest";
import { type QemuMachine, qemuArgs } from "../../../src/hypervisor/qemu-args.js";
import { fakeConfig } from "../../helpers/fake-driver.js";

const EMULATED: QemuMachine = { accelerator: "tcg", kernelPath: "/kernel", tscKhz: 2_000_000 };
const config = { ...fakeConfig, vcpuCount: 2, upperDisk: "/upper" };

/** The values of an option, in order. */
function valuesOf(args: readonly string[], option: string): string[] {
  return args.flatMap((arg, index) => (arg === option ? [args[index + 1] ?? ""] : []));
}

describe("the command line of QEMU", () => {
  it("has one thread and a rate of the TSC for emulated guests, and neither for others", () => {
    const emulated = qemuArgs(config, EMULATED, "boot");
    expect(valuesOf(emulated, "-accel")).toEqual(["tcg,thread=single"]);
    expect(valuesOf(emulated, "-cpu")).toEqual(["max,svm=off,xlevel=0x8000000a,erms=off,fsrm=off"]);
    expect(valuesOf(emulated, "-append")[0]).toContain("2000000");
    const virtual = qemuArgs(config, { ...EMULATED, accelerator: "kvm" }, "boot");
    expect(valuesOf(virtual, "-accel")).toEqual(["kvm"]);
    expect(valuesOf(virtual, "-cpu")).toEqual(["host"]);
    expect(valuesOf(virtual, "-append")[0]).not.toContain("2000000");
  });

  it("starts the agent of the initramfs", () => {
    const args = qemuArgs(config, EMULATED, "boot");
    expect(valuesOf(args, "-initrd")).toEqual([config.initramfs]);
    expect(valuesOf(args, "-append")[0]).toContain("rdinit=/msb-agent");
  });

  it("has the shared disk read-only, the private one writable, and commas in paths twice", () => {
    const drives = valuesOf(qemuArgs({ ...config, imageDisk: "/a,b" }, EMULATED, "boot"), "-drive");
    expect(drives).toHaveLength(2);
    expect(drives[0]).toMatch(/file=\/a,,b,readonly=on/);
    expect(drives[1]).toMatch(/file=\/upper,cache=writeback/);
    expect(valuesOf(qemuArgs({ ...config, upperDisk: null }, EMULATED, "boot"), "-drive")).toEqual(
      valuesOf(qemuArgs(config, EMULATED, "boot"), "-drive").slice(0, 1),
    );
  });

  it("of a VM that is only booted has no monitor, no file of memory and nothing to come", () => {
    const args = qemuArgs(config, EMULATED, "boot");
    expect(args.join(" ")).not.toMatch(/-mon|-object|-incoming|memory-backend|\/proc\/self/);
  });

  it.each([
    ["save", "on", []],
    ["resume", "off", ["defer"]],
  ] as const)("to %s has memory in the inherited file, share=%s", (purpose, share, incoming) => {
    const args = qemuArgs(config, EMULATED, purpose);
    const size = `size=${config.memoryMiB}M`;
    expect(valuesOf(args, "-M")).toEqual(["microvm,acpi=off,memory-backend=ram"]);
    expect(valuesOf(args, "-object")).toEqual([
      `memory-backend-file,id=ram,${size},mem-path=/proc/self/fd/6,share=${share}`,
    ]);
    expect(valuesOf(args, "-mon")).toEqual(["chardev=monitor,mode=control"]);
    expect(valuesOf(args, "-chardev")).toEqual([
      "socket,id=agent,fd=3",
      "socket,id=console,fd=4",
      "socket,id=monitor,fd=5",
    ]);
    expect(valuesOf(args, "-incoming")).toEqual(incoming);
  });

  it("differs between saved and resumed in nothing that the guest can see", () => {
    const [saved, resumed] = (["save", "resume"] as const).map((purpose) =>
      qemuArgs(config, EMULATED, purpose),
    );
    const plain = (args: readonly string[] = []): string =>
      args
        .join(" ")
        .replace(/share=\w+/, "share=")
        .replace(" -incoming defer", "");
    expect(plain(resumed)).toBe(plain(saved));
  });
});
