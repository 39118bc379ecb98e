/** Which images sandboxes need, asked of their records by a program that is not the server. */
import type { Digest } from "../oci/digest.js";
import type { MsbPaths } from "../paths.js";
import { RecordStore } from "./record-store.js";

/**
 * Those that the disks of all sandboxes were made for. An image that a start takes up meanwhile is held by a pin of
 * that start. Throws MSB_ERR_HOME_UNUSABLE.
 */
export async function readImagesInUse(paths: MsbPaths): Promise<ReadonlySet<Digest>> {
  const used = new Set<Digest>();
  for await (const { disk } of new RecordStore(paths).read()) {
    if (disk !== null) used.add(disk.digest);
  }
  return used;
}
