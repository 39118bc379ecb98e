#!/usr/bin/env node
/** `msb-ts`. */
import { startCli } from "./start.js";

// Help, usage errors and the version need no image store, so they do not wait for its modules.
await startCli(process, async (opts) => {
  const { Images } = await import("../oci/images.js");
  return Images.open(opts);
});
