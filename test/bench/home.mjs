/** An MSB_HOME for one bench, with the runtime and the test images of the others. */
import * as fs from "node:fs";
import { join, resolve } from "node:path";
import { Images } from "../../dist/oci/images.js";
import { msbPaths } from "../../dist/paths.js";
import { makeScratch } from "./ends.mjs";

/** `store` is what `test/helpers/server-images.ts` prints. */
export function makeHome(store) {
  const path = makeScratch();
  fs.mkdirSync(join(path, "images"));
  fs.symlinkSync(msbPaths().runtimeRoot, join(path, "runtime"));
  for (const name of ["blobs", "disks"]) {
    fs.symlinkSync(join(resolve(store), name), join(path, "images", name));
  }
  fs.cpSync(join(store, "tags"), join(path, "images/tags"), { recursive: true });
  return path;
}

/** The path of an image's disk. */
export async function imageDiskOf(home, image) {
  const images = await Images.open({ paths: msbPaths(home), env: {} });
  const { disk } = await images.ensure(image, { pullPolicy: "never" });
  await images[Symbol.asyncDispose]();
  return disk.path;
}
