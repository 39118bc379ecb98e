/** An MSB_HOME for a server of a test, with the image of a recipe in it, made of the disk that tests keep. */
import { mkdir, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { imageDiskKey } from "../../src/oci/image-disk.js";
import { Images } from "../../src/oci/images.js";
import { hostPlatform } from "../../src/oci/platform.js";
import { readRecipe, recipeFolder } from "../../src/oci/recipe/recipe.js";
import { msbPaths } from "../../src/paths.js";
import { EMPTY_SETTINGS } from "../../src/settings.js";
import { ensureRecipeImage, type RecipeName } from "./image-fixtures.js";
import { writeOciLayout } from "./oci-layout.js";
import { ServerHome } from "./server-home.js";

/** An archive without files: what would be in it is on the disk already. */
const EMPTY_TAR = Buffer.alloc(1024);

/** The recipe's image is the only one there, under its own name. */
export async function makeRecipeHome(recipe: RecipeName): Promise<ServerHome> {
  const { disk } = await ensureRecipeImage(recipe);
  const { name, config } = await readRecipe(recipeFolder(recipe));
  const home = await ServerHome.make();
  try {
    const paths = msbPaths(home.path);
    // Links into a store that nobody may write to.
    await rm(paths.imageRoot, { recursive: true });
    const layout = join(home.path, "layout");
    const { architecture } = hostPlatform();
    const image = { architecture, layers: [EMPTY_TAR], config };
    const { manifests } = await writeOciLayout(layout, "latest", [image]);
    const path = paths.imageDisk(imageDiskKey(manifests[0]!.diffIds));
    await mkdir(dirname(path), { recursive: true });
    await symlink(disk, path);
    await using images = await Images.open({ paths, settings: EMPTY_SETTINGS, env: {} });
    await images.load(layout, { name: `${name}:latest` });
    return home;
  } catch (error) {
    await home[Symbol.asyncDispose]();
    throw error;
  }
}
