/**
 * Images for VM tests, with what umoci, which is not ours, unpacks of them. Kept beside the other disks of MSB_HOME,
 * from where they travel into the emulated KVM host; made by whoever needs them first.
 *
 *   node --import ./test/helpers/typescript-hooks.mjs test/helpers/image-fixtures.ts      makes them
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Images } from "../../src/oci/images.js";
import { hostPlatform } from "../../src/oci/platform.js";
import { mmdebstrapCall } from "../../src/oci/recipe/mmdebstrap.js";
import { readRecipe } from "../../src/oci/recipe/recipe.js";
import { msbPaths } from "../../src/paths.js";
import { EMPTY_SETTINGS } from "../../src/settings.js";
import { startDockerRegistry } from "./docker-registry.js";
import { nastyLayers } from "./nasty-layers.js";
import { writeOciLayout } from "./oci-layout.js";

const here = fileURLToPath(new URL(".", import.meta.url));
const LISTER_SOURCE = join(here, "list-tree.cc");
const TAG = "latest";

export interface ImageFixture {
  /** Our disk. */
  readonly disk: string;
  /** What `list-tree` says of umoci's tree. */
  readonly listing: string;
}

export const RECIPES = ["base", "python", "node"] as const;
export type RecipeName = (typeof RECIPES)[number];

/** `list-tree`, a static program. */
export async function ensureLister(): Promise<string> {
  const name = `list-tree-${shortHash(await readFile(LISTER_SOURCE))}`;
  const [path] = await ensureFiles([name], async ([making]) => {
    execFileSync("g++", ["-std=c++20", "-O2", "-static", "-s", "-o", making!, LISTER_SOURCE]);
  });
  return path!;
}

/** The image of `nasty-layers.ts`, packed by hand, through a real registry. */
export async function ensureNastyImage(): Promise<ImageFixture> {
  const layers = nastyLayers();
  return ensurePulled(`nasty-${shortHash(...layers)}`, async (layout) => {
    await writeOciLayout(layout, TAG, [{ architecture: hostPlatform().architecture, layers }]);
  });
}

/** A recipe's image, built here and pulled again from a real registry. */
export async function ensureRecipeImage(recipe: RecipeName): Promise<ImageFixture> {
  const folder = join(here, "../../images", recipe);
  const files = (await readdir(folder)).toSorted();
  const contents = await Promise.all(files.map((name) => readFile(join(folder, name))));
  const { args } = mmdebstrapCall(await readRecipe(folder), {
    debianArchitecture: hostPlatform().architecture,
    mirrors: [],
    isRoot: true,
    env: {},
  });
  const key = shortHash(...contents, Buffer.from(JSON.stringify(args)));
  return ensurePulled(`${recipe}-${key}`, async (layout, scratch) => {
    await using images = await Images.open({ paths: msbPaths(join(scratch, "build")) });
    await images.build(recipe);
    await images.save([`msb-ts/${recipe}:${TAG}`], layout, { format: "oci-dir" });
  });
}

/** `make` writes an OCI layout, skopeo pushes and pulls it, we pull it, and umoci unpacks what skopeo got. */
async function ensurePulled(
  name: string,
  make: (layout: string, scratch: string) => Promise<void>,
): Promise<ImageFixture> {
  const names = [`${name}.erofs`, `${name}.list`];
  const [disk, listing] = await ensureFiles(names, async ([diskPath, listingPath]) => {
    const scratch = await mkdtemp(`${diskPath}.`);
    const ends: (() => Promise<void>)[] = [() => rm(scratch, { recursive: true, force: true })];
    try {
      const layout = join(scratch, "layout");
      await make(layout, scratch);
      const registry = await startDockerRegistry({ onEnd: (end) => ends.push(end) });
      await registry.push(layout, TAG, `test/image:${TAG}`);
      await rename(await pull(`${registry.host}/test/image:${TAG}`, scratch), diskPath!);
      await writeFile(listingPath!, await listUnpacked(registry.host, scratch));
    } finally {
      for (const end of ends.toReversed()) await end();
    }
  });
  return { disk: disk!, listing: listing! };
}

async function pull(name: string, scratch: string): Promise<string> {
  await using images = await Images.open({
    paths: msbPaths(join(scratch, "home")),
    settings: EMPTY_SETTINGS,
  });
  const { disk } = await images.pull(name);
  execFileSync("fsck.erofs", [disk.path], { stdio: "pipe" });
  return disk.path;
}

/** What umoci unpacks. Needs root, for owners and devices. */
async function listUnpacked(host: string, scratch: string): Promise<Buffer> {
  const copy = join(scratch, "copy");
  const source = `docker://${host}/test/image:${TAG}`;
  execFileSync(
    "skopeo",
    ["copy", "--insecure-policy", "--src-tls-verify=false", source, `oci:${copy}:${TAG}`],
    { stdio: "pipe" },
  );
  const bundle = join(scratch, "bundle");
  execFileSync("umoci", ["unpack", "--image", `${copy}:${TAG}`, bundle], { stdio: "pipe" });
  return execFileSync(await ensureLister(), [join(bundle, "rootfs")], { maxBuffer: 2 ** 28 });
}

export function shortHash(...parts: readonly Buffer[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex").slice(0, 12);
}

/**
 * The files or folders `test-<name>` among the disks of MSB_HOME; `make` is asked to write them if one is not there. What was
 * made for older tests of the same kind is removed.
 */
export async function ensureFiles(
  names: readonly string[],
  make: (paths: readonly string[]) => Promise<void>,
): Promise<string[]> {
  const dir = msbPaths().diskCacheDir;
  const paths = names.map((name) => join(dir, `test-${name}`));
  if (paths.every((path) => existsSync(path))) return paths;
  await mkdir(dir, { recursive: true });
  const kind = /^test-.*-(?=[0-9a-f]{12})/.exec(`test-${names[0]!}`)![0];
  for (const other of await readdir(dir)) {
    if (other.startsWith(kind)) await rm(join(dir, other), { recursive: true, force: true });
  }
  const making = names.map((name) => join(dir, `.test-${name}.${process.pid}`));
  try {
    await make(making);
    for (const [index, path] of paths.entries()) await rename(making[index]!, path);
  } finally {
    for (const path of making) await rm(path, { recursive: true, force: true });
  }
  return paths;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await ensureLister();
  await ensureNastyImage();
  for (const recipe of RECIPES) await ensureRecipeImage(recipe);
}
