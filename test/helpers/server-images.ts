/**
 * The images of servers in tests, small enough for the emulated KVM host: busybox, and busybox with this machine's
 * Python or Node.js, under the names that clients of the microsandbox 0.2 time ask for. They are an image store,
 * made once and kept beside the disks of MSB_HOME, from where they travel.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, realpathSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { Images } from "../../src/oci/images.js";
import { hostPlatform } from "../../src/oci/platform.js";
import { msbPaths } from "../../src/paths.js";
import { EMPTY_SETTINGS } from "../../src/settings.js";
import { ensureFiles, shortHash } from "./image-fixtures.js";
import { writeOciLayout } from "./oci-layout.js";
import { fillBusyboxRoot } from "./test-image.mjs";

/** Changes with what is put into the images. */
const VERSION = 1;
/** The system's own, built against the system's libraries. */
const PYTHON = "/usr/bin/python3";
const CONFIG = {
  Env: ["PATH=/usr/local/bin:/usr/bin:/bin", "IMAGE_SAYS=hello"],
  WorkingDir: "/root",
};

export const BUSYBOX_IMAGE = "localhost/test/busybox:latest";
/** What `microsandbox/python` and `microsandbox/node` are taken for when a recipe's image is there. */
export const PYTHON_IMAGE = "msb-ts/python:latest";
export const NODE_IMAGE = "msb-ts/node:latest";

/** An image store with the three images and their disks: the `images` folder of an MSB_HOME. Nothing may write to it. */
export async function ensureServerImages(): Promise<string> {
  // The emulated host has what was made here; which programs it has itself does not matter there.
  const key = shortHash(Buffer.from(JSON.stringify([VERSION, process.version])));
  const [store] = await ensureFiles([`server-images-${key}`], async ([making]) => {
    const scratch = await mkdtemp(`${making!}.`);
    try {
      await rename(await makeStore(scratch), making!);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  });
  return store!;
}

async function makeStore(scratch: string): Promise<string> {
  const layers = {
    busybox: await layer(join(scratch, "busybox"), fillBusyboxRoot),
    python: await layer(join(scratch, "python"), fillPython),
    node: await layer(join(scratch, "node"), fillNode),
  };
  const paths = msbPaths(join(scratch, "home"));
  await using images = await Images.open({ paths, settings: EMPTY_SETTINGS, env: {} });
  const contents: Readonly<Record<string, readonly Buffer[]>> = {
    [BUSYBOX_IMAGE]: [layers.busybox],
    [PYTHON_IMAGE]: [layers.busybox, layers.python],
    [NODE_IMAGE]: [layers.busybox, layers.node],
  };
  const { architecture } = hostPlatform();
  for (const [index, [name, content]] of Object.entries(contents).entries()) {
    const layout = join(scratch, `layout-${index}`);
    await writeOciLayout(layout, "latest", [{ architecture, layers: content, config: CONFIG }]);
    await images.load(layout, { name });
    await images.ensure(name, { pullPolicy: "never" });
  }
  return paths.imageRoot;
}

/** What `fill` puts into a folder, as a tar archive; all of it belongs to root. */
async function layer(folder: string, fill: (root: string) => void): Promise<Buffer> {
  await mkdir(folder);
  fill(folder);
  const names = ["--owner=0", "--group=0", "--numeric-owner", "--sort=name", "--mtime=@0"];
  return execFileSync("tar", ["-C", folder, ...names, "-cf", "-", "."], { maxBuffer: 2 ** 30 });
}

function fillPython(root: string): void {
  const script = "import sys; print(sys.version_info.minor)";
  const minor = execFileSync(PYTHON, ["-c", script], { encoding: "utf8" }).trim();
  const library = `/usr/lib/python3.${minor}`;
  addProgram(root, PYTHON, "/usr/bin/python3");
  // Tests of its own, caches, and what is for other systems.
  const isWanted = (path: string): boolean =>
    !/\/(test|tests|__pycache__|idlelib|lib2to3|ensurepip|tkinter|config-3[^/]*)$/.test(path) &&
    !/_(test|codecs_)[^/]*\.so$/.test(path);
  cpSync(library, join(root, library), { recursive: true, filter: isWanted, dereference: true });
  const extensions = join(library, "lib-dynload");
  addLibraries(
    root,
    execFileSync("find", [extensions, "-name", "*.so"], { encoding: "utf8" }).trim().split("\n"),
  );
}

function fillNode(root: string): void {
  addProgram(root, process.execPath, "/usr/bin/node");
}

function addProgram(root: string, source: string, target: string): void {
  addFile(root, realpathSync(source), target);
  addLibraries(root, [realpathSync(source)]);
}

/** The shared libraries of programs, where they are looked for. */
function addLibraries(root: string, binaries: readonly string[]): void {
  for (const binary of binaries) {
    const listing = execFileSync("ldd", [binary], { encoding: "utf8" });
    for (const [, path] of listing.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)) {
      if (!existsSync(join(root, path!))) addFile(root, realpathSync(path!), path!);
    }
  }
}

function addFile(root: string, source: string, target: string): void {
  mkdirSync(dirname(join(root, target)), { recursive: true });
  cpSync(source, join(root, target), { dereference: true });
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  // oxlint-disable-next-line no-console -- the answer of a program
  console.log(await ensureServerImages());
}
