/** Guests of a driver without a server, each on a new disk; they end with the bench. */
import { join } from "node:path";
import { createUpperDisk, Guest, openHypervisor } from "../../dist/microvm.js";
import { makeScratch, onEnd } from "./ends.mjs";

const UPPER_BYTES = 4 * 1024 ** 3;
const TIMEOUT_MS = 120_000;

/** What a bench needs of a driver, `qemu` or `libkrun`. `boot` makes the disk, too. */
export async function openDriver(name) {
  const hypervisor = await openHypervisor();
  const driver = hypervisor[name];
  const { paths, initramfs } = hypervisor;
  const dir = makeScratch();
  let count = 0;
  const boot = async ({ imageDisk, memoryMiB }) => {
    const id = `bench-${process.pid}-${++count}`;
    const upperDisk = join(dir, `${id}.ext4`);
    await createUpperDisk(upperDisk, { sizeBytes: UPPER_BYTES, paths });
    const config = {
      id,
      vcpuCount: 1,
      memoryMiB,
      initramfs,
      imageDisk,
      upperDisk,
      lifetime: "owner",
      leaseMs: 0,
    };
    const guest = await Guest.boot(driver, config, { timeoutMs: TIMEOUT_MS });
    onEnd(() => guest.vm.stop());
    return guest;
  };
  return { driver, paths, boot };
}
