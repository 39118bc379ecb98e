/** Every file and folder name under MSB_HOME; nothing else joins paths there. */
import { homedir } from "node:os";
import { join, resolve } from "node:path";

export interface MsbPaths {
  readonly home: string;
  /** Libraries and kernels, one folder a pinned version. */
  readonly runtimeDir: (version: string) => string;
  readonly runtimeRoot: string;
  /** Disks that all microVMs share: boot disks, upper templates. */
  readonly diskCacheDir: string;
  readonly bootDisk: (digest: string) => string;
  readonly upperTemplate: (sizeBytes: number) => string;
  /** Verdicts of the hypervisor probe. */
  readonly verdictFile: string;
  /** One folder a microVM: sockets and private disks. */
  readonly vmDir: (vmId: string) => string;
  readonly vmRoot: string;
  /** Half-made files; swept when they are stale. */
  readonly tempDir: string;
}

/** The layout of MSB_HOME: `option`, else the environment's MSB_HOME, else `~/.msb-ts`. */
export function msbPaths(
  home: string = process.env["MSB_HOME"] || join(homedir(), ".msb-ts"),
): MsbPaths {
  const root = resolve(home);
  const runtimeRoot = join(root, "runtime");
  const diskCacheDir = join(root, "disks");
  const vmRoot = join(root, "vms");
  return {
    home: root,
    runtimeRoot,
    runtimeDir: (version) => join(runtimeRoot, version),
    diskCacheDir,
    bootDisk: (digest) => join(diskCacheDir, `boot-${digest}.erofs`),
    upperTemplate: (sizeBytes) => join(diskCacheDir, `upper-${sizeBytes}.ext4`),
    verdictFile: join(root, "hypervisor.json"),
    vmRoot,
    vmDir: (vmId) => join(vmRoot, vmId),
    tempDir: join(root, "tmp"),
  };
}
