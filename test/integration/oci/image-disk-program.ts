/** Makes an image's disk in a process of its own: says when it begins, how far it is, and what it made. */
import { ensureImageDisk } from "../../../src/oci/image-disk.js";
import type { ImageInfo } from "../../../src/oci/image.js";
import { BlobStore } from "../../../src/oci/store/blob-store.js";
import { msbPaths } from "../../../src/paths.js";

export interface DiskProgramInput {
  readonly home: string;
  readonly layers: ImageInfo["layers"];
}

export type DiskProgramLine =
  { readonly state: string; readonly doneBytes: number } | { readonly path: string };

const { home, layers } = JSON.parse(process.argv[2]!) as DiskProgramInput;
const paths = msbPaths(home);
const say = (line: DiskProgramLine): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const { path } = await ensureImageDisk(
  { layers },
  {
    store: { blobs: new BlobStore(paths) },
    paths,
    onProgress: ({ state, doneBytes }) => say({ state, doneBytes }),
  },
);
say({ path });
