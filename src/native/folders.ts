/** Where native code can be: built here, or built elsewhere and part of the package. */
import { fileURLToPath } from "node:url";

/** Absolute paths, in the order of choice. */
export function nativeFolders(platform: string = process.platform): readonly string[] {
  return ["build/Release", `prebuilds/${platform}-${process.arch}`].map((folder) =>
    fileURLToPath(new URL(`../../${folder}`, import.meta.url)),
  );
}
