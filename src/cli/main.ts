#!/usr/bin/env node
/** `msb-ts`. */
import { startCli } from "./start.js";

// Help, usage errors and the version need no image store and no server, so they do not wait for their modules.
await startCli(process, {
  images: async (opts) => {
    const { Images } = await import("../oci/images.js");
    return Images.open(opts);
  },
  server: () => import("../server/start.js"),
});
