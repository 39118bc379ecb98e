/** Every file and folder name under MSB_HOME; nothing else joins paths there. */
import { homedir } from "node:os";
import { join, resolve } from "node:path";

export interface MsbPaths {
  readonly home: string;
  /** Libraries and kernels, one folder a pinned version. */
  readonly runtimeDir: (version: string) => string;
  readonly runtimeRoot: string;
  /** Disks that all microVMs share: archives with the agent, upper templates. */
  readonly diskCacheDir: string;
  /** The archive with the agent of this digest. */
  readonly initramfs: (digest: string) => string;
  readonly upperTemplate: (sizeBytes: number) => string;
  /** Verdicts of the hypervisor probe. */
  readonly verdictFile: string;
  /** One folder a microVM: sockets and private disks. */
  readonly vmDir: (vmId: string) => string;
  readonly vmRoot: string;
  /** Held by the one server of this MSB_HOME. */
  readonly serverLock: string;
  /** Which process that is and where it listens. */
  readonly serverFile: string;
  /** `generation` 0 is written to; higher ones are older. */
  readonly serverLog: (generation: number) => string;
  /** What the user set for good: registries, aliases. */
  readonly settingsFile: string;
  /** What was typed at the prompt of `msb-ts code`, the last first. */
  readonly codeHistory: (language: string) => string;
  /** The secret that API keys are signed with. */
  readonly serverKeyFile: string;
  /** One file for each API key that was taken back. */
  readonly revokedKey: (keyId: string) => string;
  readonly revokedKeyRoot: string;
  /** The image store: blobs by digest, tags, pins of what is under way. */
  readonly imageRoot: string;
  /** `algorithm` and `hex` are the halves of a digest. */
  readonly imageBlob: (algorithm: string, hex: string) => string;
  /** A download that is not complete, kept to go on with. */
  readonly imagePartial: (algorithm: string, hex: string) => string;
  readonly imageBlobFolder: (algorithm: string) => string;
  readonly imageBlobRoot: string;
  readonly imagePartialFile: (fileName: string) => string;
  readonly imagePartialRoot: string;
  /** One file a name. */
  readonly imageTag: (key: string) => string;
  readonly imageTagRoot: string;
  /** One file for every piece of work that is under way. */
  readonly imagePin: (id: string) => string;
  readonly imagePinRoot: string;
  readonly imageLock: string;
  /** The flattened file system of an image; `key` says of which layers and in which format. */
  readonly imageDisk: (key: string) => string;
  readonly imageDiskFile: (fileName: string) => string;
  readonly imageDiskRoot: string;
  /** One folder a namespace, in it one folder a sandbox. */
  readonly sandboxRoot: string;
  readonly sandboxNamespaceDir: (namespaceFolder: string) => string;
  readonly sandbox: (namespaceFolder: string, nameFolder: string) => SandboxPaths;
  /** Half-made files; swept when they are stale. */
  readonly tempDir: string;
  readonly tempFile: (fileName: string) => string;
}

/** The files of one sandbox. */
export interface SandboxPaths {
  readonly dir: string;
  readonly record: string;
  /** The private disk. */
  readonly upperDisk: string;
  readonly events: string;
  readonly console: string;
}

/** The layout of MSB_HOME: `option`, else the environment's MSB_HOME, else `~/.msb-ts`. */
export function msbPaths(
  home: string = process.env["MSB_HOME"] || join(homedir(), ".msb-ts"),
): MsbPaths {
  const root = resolve(home);
  const runtimeRoot = join(root, "runtime");
  const diskCacheDir = join(root, "disks");
  const vmRoot = join(root, "vms");
  const imageRoot = join(root, "images");
  const imageBlobRoot = join(imageRoot, "blobs");
  const imagePartialRoot = join(imageRoot, "partial");
  const imageTagRoot = join(imageRoot, "tags");
  const imagePinRoot = join(imageRoot, "pins");
  const imageDiskRoot = join(imageRoot, "disks");
  const revokedKeyRoot = join(root, "revoked-keys");
  const sandboxRoot = join(root, "sandboxes");
  const tempDir = join(root, "tmp");
  return {
    home: root,
    runtimeRoot,
    runtimeDir: (version) => join(runtimeRoot, version),
    diskCacheDir,
    initramfs: (digest) => join(diskCacheDir, `initramfs-${digest}.cpio`),
    upperTemplate: (sizeBytes) => join(diskCacheDir, `upper-${sizeBytes}.ext4`),
    verdictFile: join(root, "hypervisor.json"),
    vmRoot,
    vmDir: (vmId) => join(vmRoot, vmId),
    serverLock: join(root, "server.lock"),
    serverFile: join(root, "server.json"),
    serverLog: (generation) =>
      join(root, generation === 0 ? "server.log" : `server.log.${generation}`),
    settingsFile: join(root, "settings.json"),
    codeHistory: (language) => join(root, `history-${language}`),
    serverKeyFile: join(root, "server.key"),
    revokedKeyRoot,
    revokedKey: (keyId) => join(revokedKeyRoot, keyId),
    imageRoot,
    imageBlobRoot,
    imageBlobFolder: (algorithm) => join(imageBlobRoot, algorithm),
    imageBlob: (algorithm, hex) => join(imageBlobRoot, algorithm, hex),
    imagePartialRoot,
    imagePartialFile: (fileName) => join(imagePartialRoot, fileName),
    imagePartial: (algorithm, hex) => join(imagePartialRoot, `${algorithm}-${hex}`),
    imageTagRoot,
    imageTag: (key) => join(imageTagRoot, `${key}.json`),
    imagePinRoot,
    imagePin: (id) => join(imagePinRoot, id),
    imageLock: join(imageRoot, "lock"),
    imageDiskRoot,
    imageDiskFile: (fileName) => join(imageDiskRoot, fileName),
    imageDisk: (key) => join(imageDiskRoot, `${key}.erofs`),
    sandboxRoot,
    sandboxNamespaceDir: (namespaceFolder) => join(sandboxRoot, namespaceFolder),
    sandbox: (namespaceFolder, nameFolder) =>
      sandboxPaths(sandboxRoot, namespaceFolder, nameFolder),
    tempDir,
    tempFile: (fileName) => join(tempDir, fileName),
  };
}

function sandboxPaths(root: string, namespaceFolder: string, nameFolder: string): SandboxPaths {
  const dir = join(root, namespaceFolder, nameFolder);
  return {
    dir,
    record: join(dir, "record.json"),
    upperDisk: join(dir, "upper.ext4"),
    events: join(dir, "events.jsonl"),
    console: join(dir, "console.log"),
  };
}
