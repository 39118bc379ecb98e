/** The private disk of a sandbox: kept as long as it fits the image, made anew when it does not. */
import { rm, stat } from "node:fs/promises";
import type { BootableImage } from "../oci/images.js";
import { fileError } from "../util/file-error.js";
import { repositoryOf } from "./boot-image.js";
import type { MakeUpperDisk } from "./manager-opts.js";
import type { DiskRecord } from "./record.js";
import type { Sandbox } from "./sandbox.js";
import type { SandboxSpec, SandboxSpecOpts } from "./service.js";
import { invalid } from "./spec.js";

const MIB = 1024 ** 2;

/**
 * The size of the disk: what was asked for, else that of the disk there is. Throws MSB_ERR_INVALID_ARGUMENT for
 * another size of a disk that is to be kept.
 */
export function diskSizeFor(opts: SandboxSpecOpts, disk: DiskRecord | null): number | undefined {
  if (disk === null) return opts.diskMiB;
  if (opts.diskMiB === undefined) return disk.sizeMiB;
  if (opts.image === disk.image && opts.diskMiB !== disk.sizeMiB) {
    const advice = `its disk has ${disk.sizeMiB} MiB and keeps its size; leave diskMiB out, or remove the sandbox first`;
    throw invalid("diskMiB", opts.diskMiB, advice);
  }
  return opts.diskMiB;
}

/** Whether the next `ensurePrivateDisk` makes a disk, as far as the record knows. */
export function needsDisk(sandbox: Sandbox, image: BootableImage, spec: SandboxSpec): boolean {
  const { disk } = sandbox.record;
  return (
    disk === null || whyUnfit(disk, { digest: image.digest, sizeMiB: spec.diskMiB }) !== undefined
  );
}

/**
 * Makes the disk if there is none, or none that fits, and says whether it did. The record says that there is one only
 * when there is.
 */
export async function ensurePrivateDisk(
  sandbox: Sandbox,
  image: BootableImage,
  spec: SandboxSpec,
  opts: { readonly makeUpperDisk: MakeUpperDisk; readonly signal: AbortSignal },
): Promise<boolean> {
  const wanted: DiskRecord = {
    image: spec.image,
    digest: image.digest,
    repository: repositoryOf(image),
    sizeMiB: spec.diskMiB,
  };
  const { disk } = sandbox.record;
  const problem = disk === null ? undefined : await whyReplaced(disk, wanted, sandbox);
  if (disk !== null && problem === undefined) {
    // An image that lost its names since has the disk's knowledge of where it came from.
    sandbox.update({ disk: { ...wanted, repository: wanted.repository ?? disk.repository } });
    return false;
  }
  await replaceDisk(sandbox, wanted, opts);
  if (problem === undefined) return true;
  sandbox.event({
    type: "disk-replaced",
    message: `The private disk was replaced by an empty one: ${problem}.`,
    details: { before: disk, after: wanted },
  });
  return true;
}

async function whyReplaced(
  disk: DiskRecord,
  wanted: DiskRecord,
  sandbox: Sandbox,
): Promise<string | undefined> {
  const unfit = whyUnfit(disk, wanted);
  if (unfit !== undefined) return unfit;
  const info = await stat(sandbox.paths.upperDisk).catch(() => undefined);
  return info?.isFile() ? undefined : "its file was gone";
}

function whyUnfit(
  disk: DiskRecord,
  wanted: Pick<DiskRecord, "digest" | "sizeMiB">,
): string | undefined {
  if (disk.digest !== wanted.digest) return `it was made for the image ${disk.image}`;
  return disk.sizeMiB === wanted.sizeMiB ? undefined : `it had ${disk.sizeMiB} MiB`;
}

async function replaceDisk(
  sandbox: Sandbox,
  wanted: DiskRecord,
  opts: { readonly makeUpperDisk: MakeUpperDisk; readonly signal: AbortSignal },
): Promise<void> {
  const { upperDisk } = sandbox.paths;
  if (sandbox.record.disk !== null) {
    sandbox.update({ disk: null });
    await sandbox.save();
  }
  try {
    await rm(upperDisk, { force: true });
  } catch (error) {
    throw fileError(error, upperDisk, "removed");
  }
  const { signal } = opts;
  await opts.makeUpperDisk(upperDisk, { sizeBytes: wanted.sizeMiB * MIB, signal });
  sandbox.update({ disk: wanted });
}
