/** What a command has done, in a line. */
import type { ImageInfo, RemovedImages } from "../../../oci/image.js";
import type { CliContext } from "../../context.js";
import { count, displayName, familiar, imageId, oneLine, size } from "../../format.js";
import { printLine } from "../../output.js";

/** `python:3.12 (3f2a9c1b8d7e): 4 layers, 51.2 MB, disk 120 MB`; by the name that was asked for, if one was. */
export function summaryOf(image: ImageInfo, asked?: string): string {
  const name = asked === undefined ? displayName(image) : oneLine(asked);
  const id = imageId(image.digest, { truncate: true });
  const disk = image.disk === null ? "" : `, disk ${size(image.disk.sizeBytes)}`;
  const layers = count(image.layers.length, "layer");
  return `${name}${name === id ? "" : ` (${id})`}: ${layers}, ${size(image.storedBytes)}${disk}`;
}

export function printRemoved(ctx: CliContext, removed: RemovedImages): void {
  for (const name of removed.names) printLine(ctx, `Untagged: ${familiar(name)}`);
  for (const digest of removed.digests) printLine(ctx, `Deleted: ${digest}`);
  const isNothing =
    removed.names.length === 0 && removed.digests.length === 0 && removed.freedBytes === 0;
  if (isNothing) printLine(ctx, "Nothing to remove.");
  else if (removed.freedBytes > 0) printLine(ctx, `Freed: ${size(removed.freedBytes)}`);
}
