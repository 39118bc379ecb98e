#!/usr/bin/env node
/** `msb-ts`. */
import { msbPaths } from "../paths.js";
import { startCli } from "./start.js";

// Help, usage errors and the version need no image store and no server, so they do not wait for their modules.
await startCli(process, {
  images: async (opts) => {
    const { Images } = await import("../oci/images.js");
    const { readImagesInUse } = await import("../sandbox/images-in-use.js");
    const paths = msbPaths();
    return Images.open({ ...opts, paths, inUse: () => readImagesInUse(paths) });
  },
  server: () => import("../server/start.js"),
  runOnce: async (request, opts) => (await import("./local-run.js")).localRun(request, opts),
});
