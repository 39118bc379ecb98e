/** Which image a sandbox boots. One with a disk goes on with the very image that its disk was made for. */
import { isMsbError, MsbError } from "../errors.js";
import { parseReference } from "../oci/reference.js";
import type { BootableImage, EnsureImageOpts, Images } from "../oci/images.js";
import { printable } from "../util/printable.js";
import type { DiskRecord } from "./record.js";

/** Throws what `Images.ensure` throws. */
export async function ensureBootImage(
  images: Pick<Images, "ensure">,
  wanted: { readonly image: string; readonly disk: DiskRecord | null },
  opts: EnsureImageOpts,
): Promise<BootableImage> {
  const { image, disk } = wanted;
  // Another name may be another image: whether it is, its digest tells.
  if (disk === null || disk.image !== image) return images.ensure(image, opts);
  try {
    return await images.ensure(disk.digest, { ...opts, pullPolicy: "never" });
  } catch (error) {
    if (!isMsbError(error, "MSB_ERR_IMAGE_NOT_FOUND")) throw error;
    return await pullAgain(images, disk, opts, error);
  }
}

/** Where the image could be pulled again, should it be removed. */
export function repositoryOf(image: Pick<BootableImage, "names">): string | null {
  const [name] = image.names;
  if (name === undefined) return null;
  const { registry, repository } = parseReference(name);
  return `${registry}/${repository}`;
}

async function pullAgain(
  images: Pick<Images, "ensure">,
  disk: DiskRecord,
  opts: EnsureImageOpts,
  cause: MsbError,
): Promise<BootableImage> {
  const { repository, digest } = disk;
  const name = printable(disk.image.slice(0, 300));
  if (repository === null) throw imageGone(name, digest, cause);
  try {
    return await images.ensure(`${repository}@${digest}`, opts);
  } catch (error) {
    if (isMsbError(error, "MSB_ERR_IMAGE_NOT_FOUND")) throw imageGone(name, digest, error);
    throw error;
  }
}

function imageGone(name: string, digest: string, cause: MsbError): MsbError {
  return new MsbError(
    "MSB_ERR_IMAGE_NOT_FOUND",
    `The disk of this sandbox was made for the image ${name} with the digest ${digest}, which is neither here nor ` +
      "where it came from. Load that image again, or remove the sandbox with its disk and start it anew.",
    { cause, details: { image: name, digest } },
  );
}
