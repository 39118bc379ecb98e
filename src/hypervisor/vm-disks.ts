/** The disks of a VM, in the order that gives them the names of GUEST_DEVICES. */
import type { VmConfig } from "./driver.js";

export interface VmDisk {
  readonly id: string;
  readonly path: string;
  readonly readOnly: boolean;
}

export function vmDisks(config: VmConfig): VmDisk[] {
  const disks = [{ id: "image", path: config.imageDisk, readOnly: true }];
  if (config.upperDisk !== null)
    disks.push({ id: "upper", path: config.upperDisk, readOnly: false });
  return disks;
}
