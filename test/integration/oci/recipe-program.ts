/** Builds a recipe and kills itself while packages are installed. See recipe.test.ts. */
import { buildRecipe } from "../../../src/oci/recipe/build.js";
import { BlobStore } from "../../../src/oci/store/blob-store.js";
import { msbPaths } from "../../../src/paths.js";

const { folder, home } = JSON.parse(process.argv[2]!) as { folder: string; home: string };
await buildRecipe(folder, {
  store: new BlobStore(msbPaths(home)),
  onProgress: ({ id }) => {
    if (id === "install") process.kill(process.pid, "SIGKILL");
  },
});
