/** The image with Python: the one that is here, else Docker Hub's, else one made of Debian packages. */
import { CLI } from "./cli.mjs";
import { bringSystemPackages, IMAGE_PACKAGES } from "./system.mjs";

/** It removes a tree of a gigabyte first. */
const BUILD_GRACE_MS = 45_000;

/** In a few words what was done. */
export async function bringPythonImage(children, mayInstall) {
  const cli = (args, run, opts) => children[run](process.execPath, [CLI, ...args], opts);
  if ((await cli(["image", "inspect", "python"], "runQuietly")).code === 0) return "already there";
  console.log("      from Docker Hub");
  if ((await cli(["image", "pull", "python"], "run")) === 0) return "pulled from Docker Hub";
  console.log("      Docker Hub does not give it: building it from Debian packages (some minutes)");
  if (process.platform !== "linux") {
    throw new Error("it can be built on Linux only: mend the network, or load an image by hand");
  }
  const tools = await bringSystemPackages(children, mayInstall, IMAGE_PACKAGES);
  if (tools !== "already there") console.log(`      ${tools}`);
  const code = await cli(["image", "build", "python"], "run", { graceMs: BUILD_GRACE_MS });
  if (code === 0) return "built from Debian packages";
  throw new Error(
    `the image could be neither pulled nor built (${code}). Check the network and the proxy settings; ` +
      "MSB_DEBIAN_MIRROR names another mirror, docs/registries.md says how to name another registry",
  );
}
