/** Real microVMs for tests: opens the drivers that MSB_TEST_DRIVERS names and cleans up what was booted. */
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { createUpperDisk } from "../../src/disk/upper-disk.js";
import type { DriverName, HypervisorDriver, VmConfig } from "../../src/hypervisor/driver.js";
import { type Hypervisor, openHypervisor } from "../../src/hypervisor/open.js";
import { msbPaths } from "../../src/paths.js";
import { type BootGuestOpts, Guest } from "../../src/sandbox/guest.js";
import { busyboxImage } from "./test-image.mjs";

const KNOWN: readonly DriverName[] = ["libkrun", "qemu"];

/** The drivers under test. A machine that cannot run one of them fails the tests, it skips none. */
export const testDrivers: readonly DriverName[] = (process.env["MSB_TEST_DRIVERS"] ?? "qemu")
  .split(",")
  .map((name) => {
    const known = KNOWN.find((driver) => driver === name);
    if (known === undefined) throw new Error(`MSB_TEST_DRIVERS: unknown driver ${name}`);
    return known;
  });

/** What a guest needs until it is ready may be much on an emulated host that is busy. */
export const BOOT_TIMEOUT_MS = 120_000;

let counter = 0;

/** One hypervisor and the guests booted with it; `dispose` ends and removes all of them. */
export class VmFixture {
  readonly #guests: Guest[] = [];

  private constructor(
    readonly name: DriverName,
    readonly hypervisor: Hypervisor,
    readonly image: string,
    /** Private disks of this fixture. */
    readonly dir: string,
  ) {}

  static async open(name: DriverName): Promise<VmFixture> {
    const hypervisor = await openHypervisor();
    const dir = await mkdtemp(join(tmpdir(), "msb-vm-test-"));
    return new VmFixture(name, hypervisor, await busyboxImage(), dir);
  }

  get driver(): HypervisorDriver {
    return this.name === "libkrun" ? this.hypervisor.libkrun : this.hypervisor.qemu;
  }

  /** A valid config with a private upper disk of `upperMiB`. */
  async config(overrides: Partial<VmConfig> & { upperMiB?: number } = {}): Promise<VmConfig> {
    const { upperMiB = 256, ...rest } = overrides;
    const id = rest.id ?? `t${process.pid}-${++counter}`;
    let { upperDisk } = rest;
    if (upperDisk === undefined) {
      await mkdir(this.dir, { recursive: true });
      upperDisk = join(this.dir, `${id}.ext4`);
      await createUpperDisk(upperDisk, {
        sizeBytes: upperMiB * 1024 ** 2,
        paths: this.hypervisor.paths,
      });
    }
    return {
      id,
      vcpuCount: 1,
      memoryMiB: 256,
      initramfs: this.hypervisor.initramfs,
      imageDisk: this.image,
      lifetime: "owner",
      leaseMs: 0,
      ...rest,
      upperDisk,
    };
  }

  async boot(
    overrides: Partial<VmConfig> & { upperMiB?: number } = {},
    opts: BootGuestOpts = {},
  ): Promise<Guest> {
    const guest = await Guest.boot(this.driver, await this.config(overrides), {
      timeoutMs: BOOT_TIMEOUT_MS,
      ...opts,
    });
    this.#guests.push(guest);
    return guest;
  }

  /** Ends what still runs. Fails when a VM's folder was left behind. */
  async dispose(): Promise<void> {
    await Promise.all(this.#guests.map((guest) => guest.vm.stop()));
    await rm(this.dir, { recursive: true, force: true });
    const left = await vmFolders();
    const ours = this.#guests.map((guest) => guest.vm.id).filter((id) => left.includes(id));
    if (ours.length > 0) throw new Error(`folders of ended VMs are left: ${ours.join(", ")}`);
  }
}

/** The folders under `MSB_HOME/vms`. */
export async function vmFolders(): Promise<string[]> {
  return readdir(msbPaths().vmRoot).catch(() => []);
}
